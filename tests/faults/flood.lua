-- Callers for wrk: TOKENS are used in turn, each connection lets PAUSE milliseconds pass between two requests.
local tokens, at, threads = {}, 0, {}
for token in os.getenv("TOKENS"):gmatch("%S+") do tokens[#tokens + 1] = token end
local pause = tonumber(os.getenv("PAUSE"))

function setup(thread) table.insert(threads, thread) end

function init() good, refused, other = 0, 0, 0; math.randomseed(os.time()) end

function delay() return pause > 0 and math.random(0, 2 * pause) or 0 end

function request()
  at = at % #tokens + 1
  return wrk.format("GET", nil, { ["Authorization"] = "Bearer " .. tokens[at] })
end

function response(status, _, body)
  if status == 200 then good = good + 1
  elseif status == 503 and body:find("SYS_011", 1, true) then refused = refused + 1
  else other = other + 1 end
end

function done(summary, latency)
  local total = { good = 0, refused = 0, other = 0 }
  for _, thread in ipairs(threads) do
    for name in pairs(total) do total[name] = total[name] + thread:get(name) end
  end
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  print(string.format('{"good": %d, "refused": %d, "other": %d, "failed": %d, "seconds": %f}',
    total.good, total.refused, total.other, failed, summary.duration / 1e6))
end
