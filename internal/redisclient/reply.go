package redisclient

import (
	"errors"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"
)

// serverError is an error that the server answered, as go-redis knows one.
type serverError string

var _ goredis.Error = serverError("")

// Error implements error.
func (e serverError) Error() string { return string(e) }

// RedisError implements [goredis.Error].
func (serverError) RedisError() {}

// asReply returns err, an answer of the server as go-redis knows one.
func asReply(err error) error {
	var answered redis.Error
	if errors.As(err, &answered) {
		return serverError(answered)
	}
	return err
}

// reply returns an answer in go-redis's types: strings for bytes.
func reply(v any) any {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case redis.Error:
		return serverError(v)
	case []any:
		for i := range v {
			v[i] = reply(v[i])
		}
	}
	return v
}
