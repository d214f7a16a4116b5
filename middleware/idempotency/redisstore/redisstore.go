// Package redisstore keeps the idempotency middleware's keys in Redis. Each
// operation is one script on one key: one round trip, safe on a cluster. Times
// are counted by the Redis server.
//
// Redis may lose its latest writes in a failover, and evicts keys under some
// maxmemory policies; a lost key means that a duplicate is handled again. Use
// noeviction, and package sqlstore where that must not happen.
//
// After a failover a connection may lead to a server that is a replica now
// (READONLY). It is discarded, and the call is repeated with another. Set
// ContextTimeoutEnabled and ConnMaxLifetime in the client's options: without the
// first go-redis heeds no deadline, with the second the pool follows a server that
// moves.
package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/middleware/control"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/internal/controlredis"
)

// Config configures [New]. The zero Config works.
type Config struct {
	// Prefix is put before each key. Empty means
	// "sluice:idempotency:".
	Prefix string
}

// store is an [idempotency.Store] in Redis.
type store struct {
	client redis.Scripter
	prefix string
}

// New returns a store that uses client, any of go-redis's. It fails if client is nil.
// A nil config is the zero [Config]. The caller closes the client.
func New(client redis.Scripter, c *Config) (idempotency.Store, error) {
	if client == nil {
		return nil, errors.New("redisstore: the client is nil")
	}
	return &store{client: client, prefix: cmp.Or(setting.Copy(c).Prefix, defaultPrefix)}, nil
}

// defaultPrefix is the prefix of an empty Config.
const defaultPrefix = "sluice:idempotency:"

// Control returns the control store beside the keys. Package service asks for it.
func (s *store) Control() control.Store {
	key := controlredis.Key
	if s.prefix != defaultPrefix {
		key = s.prefix + key
	}
	return controlredis.New(s.client, key, "Redis hash "+key)
}

// A key's value is "c" and the owner's token, or "d", the token's length in two
// digits, the token and the result. An expired claim is kept a minute for its
// owner's late mark: the claim's end is then the key's expiry less that grace.
const grace = time.Minute

var (
	claim = redis.NewScript(`
local v = redis.call('GET', KEYS[1])
if v then
  if string.sub(v, 1, 1) == 'd' then
    return {3, string.sub(v, 4 + tonumber(string.sub(v, 2, 3)))}
  end
  local left = redis.call('PTTL', KEYS[1]) - tonumber(ARGV[3])
  if v ~= 'c' .. ARGV[1] and left > 0 then return {2, left} end
end
redis.call('SET', KEYS[1], 'c' .. ARGV[1], 'PX', tonumber(ARGV[2]) + tonumber(ARGV[3]))
return {1}`)
	renew = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= 'c' .. ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[2]) + tonumber(ARGV[3]))`)
	complete = redis.NewScript(`
local v = redis.call('GET', KEYS[1])
local mark = 'd' .. string.format('%02d', string.len(ARGV[1])) .. ARGV[1]
if v and string.sub(v, 1, string.len(mark)) == mark then return 1 end
if v ~= 'c' .. ARGV[1] then return 0 end
redis.call('SET', KEYS[1], mark .. ARGV[3], 'PX', ARGV[2])
return 1`)
	release = redis.NewScript(`
if redis.call('GET', KEYS[1]) == 'c' .. ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1`)
)

// Claim implements [idempotency.Store].
func (s *store) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	v, err := s.run(ctx, claim, key, token, millis(ttl), grace.Milliseconds()).Slice()
	if err != nil {
		return idempotency.Claim{}, fmt.Errorf("redisstore: claim: %w", err)
	}
	state, ok := v[0].(int64)
	switch {
	case ok && state == 1:
		return idempotency.Claim{State: idempotency.Claimed}, nil
	case ok && state == 2 && len(v) == 2:
		left, _ := v[1].(int64)
		return idempotency.Claim{State: idempotency.InProgress, Remaining: time.Duration(left) * time.Millisecond}, nil
	case ok && state == 3 && len(v) == 2:
		result, _ := v[1].(string)
		return idempotency.Claim{State: idempotency.Done, Result: []byte(result)}, nil
	default:
		return idempotency.Claim{}, fmt.Errorf("redisstore: claim: unexpected answer %v", v)
	}
}

// Renew implements [idempotency.Store].
func (s *store) Renew(ctx context.Context, key, token string, ttl time.Duration) error {
	return s.owned(ctx, renew, "renew", key, token, millis(ttl), grace.Milliseconds())
}

// Complete implements [idempotency.Store].
func (s *store) Complete(ctx context.Context, key, token string, result []byte, ttl time.Duration) error {
	return s.owned(ctx, complete, "complete", key, token, millis(ttl), result)
}

// Release implements [idempotency.Store].
func (s *store) Release(ctx context.Context, key, token string) error {
	return s.owned(ctx, release, "release", key, token)
}

// run runs a script, once for each connection of the pool that leads to a replica
// and once more. The client throws such connections away; it makes four tries of
// its own.
func (s *store) run(ctx context.Context, script *redis.Script, key string, args ...any) *redis.Cmd {
	left := 1
	if pool, ok := s.client.(interface{ PoolStats() *redis.PoolStats }); ok {
		left += int(pool.PoolStats().TotalConns)
	}
	for ; ; left-- {
		cmd := script.Run(ctx, s.client, []string{s.prefix + key}, args...)
		if left == 0 || ctx.Err() != nil || !redis.IsReadOnlyError(cmd.Err()) {
			return cmd
		}
	}
}

// owned runs a script that answers 0 if the key is not the token's.
func (s *store) owned(ctx context.Context, script *redis.Script, op, key string, args ...any) error {
	n, err := s.run(ctx, script, key, args...).Int()
	if err != nil {
		return fmt.Errorf("redisstore: %s: %w", op, err)
	}
	if n == 0 {
		return idempotency.ErrClaimLost
	}
	return nil
}

// millis is at least one: Redis refuses an expiry of zero.
func millis(d time.Duration) int64 { return max(d.Milliseconds(), 1) }
