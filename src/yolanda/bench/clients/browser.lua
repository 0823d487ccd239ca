-- A browser's request for wrk, in the order of Firefox: ten fields and a cookie.
-- Given with -H, fields would come out in the order of Lua's hash table, which no browser has.

local request = table.concat({
  "GET " .. wrk.path .. " HTTP/1.1",
  "Host: www.example.org",
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
  "Accept-Language: en-US,en;q=0.5",
  "Accept-Encoding: gzip, deflate, br, zstd",
  "Connection: keep-alive",
  "Cookie: session=7f3a9c51e2d84b06a1c8f4e97d20b35c; theme=dark; visited=1763971200",
  "Upgrade-Insecure-Requests: 1",
  "Sec-Fetch-Dest: document",
  "Sec-Fetch-Mode: navigate",
  "Sec-Fetch-Site: none",
}, "\r\n") .. "\r\n\r\n"

-- wrk asks once and then repeats the answer; a function called request() would be asked each time.
wrk.format = function() return request end
