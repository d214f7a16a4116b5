// Package redisstore keeps the windows of package ratelimit in Redis (or Valkey),
// so that all processes share a limit.
//
//	client := redis.NewClient(&redis.Options{Addr: addr, ContextTimeoutEnabled: true})
//	limit, err := ratelimit.New(100, time.Minute, &ratelimit.Config{
//		Name:  "gateway",
//		Store: redisstore.New(client, nil),
//	})
//
// Each request is one Lua script, which is atomic, and goes by the Redis server's
// clock, so that those of the processes do not matter. Set the client's
// ContextTimeoutEnabled, or it does not keep to ratelimit's StoreTimeout.
//
// # Keys
//
// A window has two keys, PREFIX{WINDOW}:starts, a list of at most as many numbers
// as the limit, and PREFIX{WINDOW}:next. Both expire by themselves. They share a
// hash tag, so Redis Cluster works. A server that loses its data lets one window's
// worth of messages too many through.
package redisstore

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/middleware/ratelimit"
)

// Config has rarely needed settings. The zero Config has the defaults.
type Config struct {
	// Prefix begins the names of all keys. Empty means
	// "sluice:ratelimit:".
	Prefix string

	// Now is the clock, called concurrently, for tests. Nil means the Redis
	// server's, which all processes share.
	Now func() time.Time
}

// store is a [ratelimit.Store] in Redis.
type store struct {
	client redis.Scripter
	config Config
	script *redis.Script
}

//go:embed take.lua
var takeScript string

// New returns a store that uses the client, which stays the caller's to close. A
// nil config has the defaults.
func New(client redis.Scripter, config *Config) ratelimit.Store {
	c := setting.Copy(config)
	c.Prefix = cmp.Or(c.Prefix, "sluice:ratelimit:")
	return &store{client: client, config: c, script: redis.NewScript(takeScript)}
}

// Take implements [ratelimit.Store], to the microsecond.
func (s *store) Take(ctx context.Context, r ratelimit.Request) (ratelimit.Answer, error) {
	window := s.config.Prefix + "{" + r.Key + "}"
	now := int64(-1)
	if s.config.Now != nil {
		now = s.config.Now().UnixMicro()
	}
	answer, err := s.script.Run(ctx, s.client, []string{window + ":starts", window + ":next"},
		r.Max, r.Per.Microseconds(), r.Wait.Microseconds(), r.Batch, now).Int64Slice()
	if err != nil {
		return ratelimit.Answer{}, fmt.Errorf("redis: take a place in the window %q: %w", window, err)
	}
	if len(answer) != 4 {
		return ratelimit.Answer{}, fmt.Errorf("redis: take a place in the window %q: %d numbers in the answer, not 4", window, len(answer))
	}
	return ratelimit.Answer{
		Taken: answer[0] == 1,
		After: time.Duration(answer[1]) * time.Microsecond,
		Free:  int(answer[2]),
		Next:  time.Duration(answer[3]) * time.Microsecond,
	}, nil
}
