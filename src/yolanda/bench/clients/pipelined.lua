-- Sixteen small requests in one piece for wrk, which asks again when all are answered.

local small = "GET " .. wrk.path .. " HTTP/1.1\r\nHost: localhost\r\n\r\n"
local batch = small:rep(16)

-- wrk asks once and then repeats the answer; a function called request() would be asked each time.
wrk.format = function() return batch end
