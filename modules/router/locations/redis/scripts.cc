#include "redis/scripts.h"

#include <algorithm>
#include <charconv>

namespace imctl::locations {
namespace {

constexpr size_t kDigits = 20;

template <class Number>
bool read_number(std::string_view text, Number* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

const std::array<const char*, kScripts> kScriptTexts = {
    R"(
local key = ARGV[1] .. 'lease:' .. ARGV[2]
local old = redis.call('GET', key) or ''
local token = string.sub(old, 1, 41)
if token > ARGV[3]
    and (string.sub(old, 43, 43) ~= 'l' or string.sub(token, 1, 20) == string.sub(ARGV[3], 1, 20)) then
  return token
end
redis.call('SET', key, ARGV[3] .. '\31' .. ARGV[4] .. '\31' .. ARGV[5], 'PX', ARGV[6])
redis.call('SADD', ARGV[1] .. 'services', ARGV[2])
redis.call('PEXPIRE', ARGV[1] .. 'services', ARGV[7])
return token
)",
    R"(
local lease = redis.call('GET', ARGV[1] .. 'lease:' .. ARGV[2]) or ''
if string.sub(lease, 1, 41) ~= ARGV[3] then return 0 end
local key = ARGV[1] .. 'user:' .. ARGV[4]
if ARGV[6] == '' then
  redis.call('HDEL', key, ARGV[5])
else
  redis.call('HSET', key, ARGV[5], ARGV[6])
  redis.call('PEXPIRE', key, ARGV[7])
end
return 1
)",
    R"(
local key = ARGV[1] .. 'node:' .. ARGV[2]
local old = redis.call('GET', key) or ''
if old > ARGV[3] then
  redis.call('PEXPIRE', key, ARGV[4])
else
  redis.call('SET', key, ARGV[3], 'PX', ARGV[4])
end
return old
)",
    R"(
local prefix, service, node = ARGV[1], ARGV[2], ARGV[3]
local sign, name = string.sub(service, 1, 1), string.sub(service, 2)
local leases, nodes, out = {}, {}, {}
for i = 4, #ARGV do
  local key = prefix .. 'user:' .. ARGV[i]
  local all = redis.call('HGETALL', key)
  for j = 1, #all, 2 do
    local s, n, b = string.match(all[j], '^([^\31]*)\31([^\31]*)\31(%d+)\31')
    if s then
      if not leases[s] then leases[s] = redis.call('GET', prefix .. 'lease:' .. s) or '' end
      if not nodes[n] then nodes[n] = redis.call('GET', prefix .. 'node:' .. n) or '' end
      if leases[s] == '' and redis.call('SISMEMBER', prefix .. 'services', s) == 1 then
        if sign ~= '-' or s ~= name then
          out[#out + 1] = ARGV[i]
          out[#out + 1] = all[j]
          out[#out + 1] = ''
        end
      elseif string.sub(leases[s], 1, 41) ~= string.sub(all[j + 1], 1, 41) or nodes[n] > b
          or string.sub(leases[s], 43, 43) == 'l' then
        redis.call('HDEL', key, all[j])
      elseif (sign ~= '-' or s ~= name) and (sign ~= '+' or s == name) and (node == '' or n == node) then
        out[#out + 1] = ARGV[i]
        out[#out + 1] = all[j]
        out[#out + 1] = all[j + 1]
      end
    end
  end
end
return out
)",
    R"(
local out = {}
local names = redis.call('SMEMBERS', ARGV[1] .. 'services')
for i = 1, #names do
  local key = ARGV[1] .. 'lease:' .. names[i]
  local lease = redis.call('GET', key)
  if lease then
    out[#out + 1] = names[i]
    out[#out + 1] = lease
    out[#out + 1] = tostring(redis.call('PTTL', key))
  else
    redis.call('SREM', ARGV[1] .. 'services', names[i])
  end
end
return out
)"};

std::string escape(std::string_view name) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  constexpr unsigned char kFirst = 0x20;
  std::string made;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= kFirst && c != '%') {
      made += c;
    } else {
      made += '%';
      made += kHex[byte >> 4U];
      made += kHex[byte & 0xFU];
    }
  }
  return made;
}

std::string unescape(std::string_view text) {
  std::string made;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ec == std::errc()) {
      made += static_cast<char>(byte);
      i += 2;
    } else {
      made += text[i];
    }
  }
  return made;
}

std::string digits(uint64_t number) {
  std::string made = std::to_string(number);
  return std::string(kDigits - made.size(), '0') + made;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    const size_t end = text.find(kUnit);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string token_of(uint64_t boot, uint64_t time) { return digits(boot) + "." + digits(time); }

std::string field_of(const std::string& service, const Key& key) {
  return escape(service) + kUnit + escape(key.node) + kUnit + digits(key.boot) + kUnit +
         std::to_string(key.session);
}

std::string value_of(const std::string& token, const Location& location) {
  return token + kUnit + escape(location.device) + kUnit + std::to_string(location.since);
}

bool read_found(std::string_view user, std::string_view field, std::string_view value,
                Found* found) {
  constexpr size_t kFieldParts = 4;
  constexpr size_t kValueParts = 3;
  const std::vector<std::string_view> names = split(field);
  const std::vector<std::string_view> values = split(value);
  if (names.size() != kFieldParts || values.size() != kValueParts) return false;
  found->service = unescape(names[0]);
  found->location.user = user;
  found->location.device = unescape(values[1]);
  found->location.key.node = unescape(names[1]);
  return read_number(names[2], &found->location.key.boot) &&
         read_number(names[3], &found->location.key.session) &&
         read_number(values[2], &found->location.since);
}

}  // namespace imctl::locations
