package redisclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"
)

// connection is what redigo's connections have.
type connection interface {
	redis.ConnWithContext
	redis.ConnWithTimeout
}

// conn is a connection that a pool drops after a server's answer that it only
// reads: after a failover, the connection leads to a replica.
type conn struct {
	connection
	replica error
}

func newConn(inner redis.Conn) (redis.Conn, error) {
	c, ok := inner.(connection)
	if !ok {
		return nil, errors.Join(fmt.Errorf("redis: the connection %T takes no context", inner), inner.Close())
	}
	return &conn{connection: c}, nil
}

// DoContext implements [redis.ConnWithContext].
func (c *conn) DoContext(ctx context.Context, command string, args ...any) (any, error) {
	v, err := c.connection.DoContext(ctx, command, args...)
	if err != nil && goredis.IsReadOnlyError(asReply(err)) {
		c.replica = err
	}
	return v, err
}

// Err implements [redis.Conn].
func (c *conn) Err() error {
	if c.replica != nil {
		return c.replica
	}
	return c.connection.Err()
}
