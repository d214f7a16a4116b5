// Package redisclient runs Lua scripts on a Redis server that a URL names.
//
// It is for programs that get the server from configuration. The stores accept
// any client of go-redis. Such a client has a method for each command of Redis,
// and several types repeat them all. In a program that looks up methods by name,
// which every program with gRPC is, the linker keeps them: 8 MB. This client has
// only what the stores call.
package redisclient

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"

	"github.com/sluice-go/sluice/internal/sleep"
)

// The times of a pooled connection: how long it may be unused, and how old it may
// be. By the second, a pool follows a server that moves without an error.
const (
	connIdle = 5 * time.Minute
	connLife = 30 * time.Minute
)

// Client is a pool of connections to one server. It is a [goredis.Scripter]. Its
// methods may be called concurrently.
type Client struct {
	pool     *redis.Pool
	wait     time.Duration
	retries  int
	min, max time.Duration
	silent   silence
}

var _ goredis.Scripter = (*Client)(nil)

// parameters are those of go-redis's ParseURL that a Client honors.
var parameters = []string{
	"db", "client_name", "max_retries", "min_retry_backoff", "max_retry_backoff", "dial_timeout",
	"read_timeout", "write_timeout", "pool_size", "pool_timeout", "conn_max_idle_time", "conn_max_lifetime", "skip_verify",
}

// Parse returns a client for a URL as go-redis's ParseURL reads it, with its
// defaults. It does not connect. It fails on a parameter that it does not honor.
// The error has no password in it.
func Parse(u *url.URL) (*Client, error) {
	for name := range u.Query() {
		if !slices.Contains(parameters, name) {
			return nil, fmt.Errorf("unknown parameter %q (known: %s)", name, strings.Join(parameters, ", "))
		}
	}
	o, err := goredis.ParseURL(u.String())
	if err != nil {
		return nil, err
	}
	read := or(o.ReadTimeout, 3*time.Second)
	size := o.PoolSize
	if size <= 0 {
		size = 10 * runtime.GOMAXPROCS(0)
	}
	options := []redis.DialOption{
		redis.DialDatabase(o.DB), redis.DialUsername(o.Username), redis.DialPassword(o.Password), redis.DialClientName(o.ClientName),
		redis.DialConnectTimeout(or(o.DialTimeout, 5*time.Second)), redis.DialReadTimeout(read), redis.DialWriteTimeout(or(o.WriteTimeout, read)),
		redis.DialUseTLS(o.TLSConfig != nil), redis.DialTLSConfig(o.TLSConfig),
	}
	c := &Client{
		silent:  silence{base: time.Now()},
		wait:    or(o.PoolTimeout, read+time.Second),
		retries: o.MaxRetries,
		min:     or(o.MinRetryBackoff, 8*time.Millisecond),
		max:     or(o.MaxRetryBackoff, 512*time.Millisecond),
		pool: &redis.Pool{
			DialContext: func(ctx context.Context) (redis.Conn, error) {
				inner, err := redis.DialContext(ctx, o.Network, o.Addr, options...)
				if err != nil {
					return nil, err
				}
				return newConn(inner)
			},
			MaxActive: size, MaxIdle: size, Wait: true,
			IdleTimeout: or(o.ConnMaxIdleTime, connIdle), MaxConnLifetime: or(o.ConnMaxLifetime, connLife),
		},
	}
	c.pool.TestOnBorrow = func(_ redis.Conn, used time.Time) error {
		if c.silent.covers(used) { // the pool has the time from time.Now
			return errSilent
		}
		return nil
	}
	if c.retries == 0 {
		c.retries = 3
	}
	return c, nil
}

// errSilent has the pool drop a connection that may be dead.
var errSilent = errors.New("redis: another connection of that time gives no answer")

// or returns d, or its default if d is 0. A negative d, which go-redis reads as
// "off", is 0.
func or(d, preset time.Duration) time.Duration {
	if d == 0 {
		return preset
	}
	return max(d, 0)
}

// Close closes the connections that are not in use, and each other one when its
// call ends.
func (c *Client) Close() error { return c.pool.Close() }

// Ping reports whether the server answers.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.do(ctx, "PING", nil)
	return err
}

// do runs a command. It tries again, with jitter, after an error of the network and
// after those of a server that cannot serve now: it must be safe to run twice.
func (c *Client) do(ctx context.Context, command string, args []any) (any, error) {
	for attempt := 0; ; attempt++ {
		v, err := c.try(ctx, command, args)
		if err == nil || !passing(err) {
			return v, err
		}
		if over := ended(ctx); over != nil {
			return nil, errors.Join(over, err)
		}
		if attempt >= c.retries {
			return nil, err
		}
		if sleep.For(ctx, rand.N(min(c.min<<attempt, c.max)+1)) != nil {
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

// ended returns the error of a context that is over, or nil. The deadline of a
// connection is that of the context, and may pass a moment before the context
// says so.
func ended(ctx context.Context) error {
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

func (c *Client) try(ctx context.Context, command string, args []any) (any, error) {
	get := ctx
	if c.wait > 0 {
		var cancel context.CancelFunc
		get, cancel = context.WithTimeout(ctx, c.wait)
		defer cancel()
	}
	conn, err := c.pool.GetContext(get)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	v, err := redis.DoContext(conn, ctx, command, args...)
	if late := net.Error(nil); errors.As(err, &late) && late.Timeout() && time.Since(begun) >= patience {
		c.silent.note(begun)
	}
	// A fault of the connection is in err already.
	_ = conn.Close()
	if err != nil {
		return nil, asReply(err)
	}
	return reply(v), nil
}

// Eval implements [goredis.Scripter].
func (c *Client) Eval(ctx context.Context, script string, keys []string, args ...any) *goredis.Cmd {
	return c.eval(ctx, "EVAL", script, keys, args)
}

// EvalSha implements [goredis.Scripter].
func (c *Client) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *goredis.Cmd {
	return c.eval(ctx, "EVALSHA", sha, keys, args)
}

// EvalRO implements [goredis.Scripter].
func (c *Client) EvalRO(ctx context.Context, script string, keys []string, args ...any) *goredis.Cmd {
	return c.eval(ctx, "EVAL_RO", script, keys, args)
}

// EvalShaRO implements [goredis.Scripter].
func (c *Client) EvalShaRO(ctx context.Context, sha string, keys []string, args ...any) *goredis.Cmd {
	return c.eval(ctx, "EVALSHA_RO", sha, keys, args)
}

func (c *Client) eval(ctx context.Context, command, script string, keys []string, args []any) *goredis.Cmd {
	all := make([]any, 0, 2+len(keys)+len(args))
	all = append(all, script, len(keys))
	for _, key := range keys {
		all = append(all, key)
	}
	all = append(all, args...)
	cmd := goredis.NewCmd(ctx, append([]any{command}, all...)...)
	v, err := c.do(ctx, command, all)
	if err != nil {
		cmd.SetErr(err)
		return cmd
	}
	if v == nil {
		cmd.SetErr(goredis.Nil)
		return cmd
	}
	cmd.SetVal(v)
	return cmd
}

// ScriptExists implements [goredis.Scripter].
func (c *Client) ScriptExists(ctx context.Context, hashes ...string) *goredis.BoolSliceCmd {
	args := []any{"EXISTS"}
	for _, hash := range hashes {
		args = append(args, hash)
	}
	cmd := goredis.NewBoolSliceCmd(ctx, append([]any{"SCRIPT"}, args...)...)
	v, err := c.do(ctx, "SCRIPT", args)
	if err != nil {
		cmd.SetErr(err)
		return cmd
	}
	found, _ := v.([]any)
	there := make([]bool, len(found))
	for i := range found {
		there[i] = found[i] == int64(1)
	}
	cmd.SetVal(there)
	return cmd
}

// ScriptLoad implements [goredis.Scripter].
func (c *Client) ScriptLoad(ctx context.Context, script string) *goredis.StringCmd {
	cmd := goredis.NewStringCmd(ctx, "SCRIPT", "LOAD", script)
	v, err := c.do(ctx, "SCRIPT", []any{"LOAD", script})
	if err != nil {
		cmd.SetErr(err)
		return cmd
	}
	sha, _ := v.(string)
	cmd.SetVal(sha)
	return cmd
}

// PoolStats returns the number of connections: those that may lead to a replica.
func (c *Client) PoolStats() *goredis.PoolStats {
	s := c.pool.Stats()
	return &goredis.PoolStats{TotalConns: uint32(s.ActiveCount), IdleConns: uint32(s.IdleCount)}
}

// passing reports whether the same command may succeed a moment later. It is an
// error of the network, or of a server that starts, follows, or is full.
func passing(err error) bool {
	var answered serverError
	if !errors.As(err, &answered) {
		return true
	}
	for _, prefix := range []string{"LOADING ", "MASTERDOWN ", "TRYAGAIN ", "CLUSTERDOWN ", "ERR max number of clients reached"} {
		if strings.HasPrefix(string(answered), prefix) {
			return true
		}
	}
	return goredis.IsReadOnlyError(err)
}
