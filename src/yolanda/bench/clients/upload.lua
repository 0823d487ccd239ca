-- A request with a body of a million bytes for wrk.

local body = ("0123456789abcdef"):rep(62500)
local head = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: localhost\r\n"
head = head .. "Content-Length: " .. #body .. "\r\n\r\n"

wrk.format = function() return head .. body end
