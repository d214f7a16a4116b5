// Package controlredis keeps the states of package control in a hash of Redis.
package controlredis

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Key is the hash's name, behind a prefix.
const Key = "sluice:control"

// A Store is a control.Store in a hash. The caller closes the client.
type Store struct {
	client    redis.Scripter
	key, name string
}

// New returns the store of the hash of that key, which is named as name in errors.
func New(client redis.Scripter, key, name string) *Store {
	return &Store{client: client, key: key, name: name}
}

// String names the store.
func (s *Store) String() string { return s.name }

var (
	load = redis.NewScript(`return redis.call('HGETALL', KEYS[1])`)
	swap = redis.NewScript(`
local v = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if v ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1`)
)

// Load implements control.Store.
func (s *Store) Load(ctx context.Context) (map[string]string, error) {
	pairs, err := load.Run(ctx, s.client, []string{s.key}).StringSlice()
	if err != nil {
		return nil, err
	}
	texts := make(map[string]string, len(pairs)/2)
	for i := 1; i < len(pairs); i += 2 {
		texts[pairs[i-1]] = pairs[i]
	}
	return texts, nil
}

// Swap implements control.Store.
func (s *Store) Swap(ctx context.Context, queue, old, text string) (bool, error) {
	n, err := swap.Run(ctx, s.client, []string{s.key}, queue, old, text).Int()
	return n == 1, err
}
