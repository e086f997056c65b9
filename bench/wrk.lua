-- Requests of one measured run. Arguments: a file of paths (one a line), "cycle" or "random", and the pause
-- before each request of a connection in milliseconds. The last line of the output is JSON.
local requests, at = {}, 0

function init(args)
  for path in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", path)
  end
  if args[2] == "random" then
    -- Sound ratios need the same choice on every side.
    math.randomseed(1)
    request = function() return requests[math.random(#requests)] end
  else
    request = function()
      at = at % #requests + 1
      return requests[at]
    end
  end
  local pause = tonumber(args[3])
  if pause > 0 then
    delay = function() return pause end
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"bytes":%d,"p50":%d,"p99":%d,"http":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
