-- Requests of browsers for wrk, five thousand of them that differ in their line and their fields, so
-- that a server that remembers some of what it has read meets none again before it is forgotten.

local template = table.concat({
  "GET " .. wrk.path .. "?number=%d HTTP/1.1",
  "Host: www.example.org",
  "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
  "Accept-Language: en-US,en;q=0.5",
  "Accept-Encoding: gzip, deflate, br, zstd",
  "Connection: keep-alive",
  "Cookie: session=7f3a9c51e2d84b06a1c8f4e97d20b35c; theme=dark; visited=%d",
  "Upgrade-Insecure-Requests: 1",
  "Sec-Fetch-Dest: document",
  "Sec-Fetch-Mode: navigate",
  "Sec-Fetch-Site: none",
}, "\r\n") .. "\r\n\r\n"

local requests, last = {}, 0

function init(arguments)
  for number = 1, 5000 do
    requests[number] = template:format(number, 1763971200 + number)
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end
