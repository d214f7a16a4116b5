package main

import (
	"context"
	"errors"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/sluice-go/sluice/internal/test/testserver"
)

// An asynqDisk is asynq on a Redis that appends to its file: before it answers,
// or each second.
type asynqDisk struct {
	redis   asynq.RedisClientOpt
	client  *asynq.Client
	workers *asynq.Server
}

func openAsynq(ctx context.Context, e *env, d durability) (diskQueue, error) {
	if e.redis == "" {
		s, _, err := testserver.Launch(ctx, "redis")
		if err != nil {
			return nil, err
		}
		e.closers = append(e.closers, s.Close)
		e.redis = s.URL
	}
	opts, err := redis.ParseURL(e.redis)
	if err != nil {
		return nil, err
	}
	admin := redis.NewClient(opts)
	fsync := "everysec"
	if d == synced {
		fsync = "always"
	}
	err = errors.Join(admin.FlushAll(ctx).Err(), admin.ConfigSet(ctx, "appendonly", "yes").Err(), admin.ConfigSet(ctx, "appendfsync", fsync).Err(), admin.Close())
	if err != nil {
		return nil, err
	}
	q := &asynqDisk{redis: asynq.RedisClientOpt{Addr: opts.Addr}}
	q.client = asynq.NewClient(q.redis)
	return q, nil
}

func (q *asynqDisk) send(ctx context.Context, body []byte) error {
	_, err := q.client.EnqueueContext(ctx, asynq.NewTask("bench", body))
	return err
}

func (q *asynqDisk) fill(ctx context.Context, n int) error {
	body := make([]byte, bodySize)
	return split(32, n, func(n int) error {
		for range n {
			if err := q.send(ctx, body); err != nil {
				return err
			}
		}
		return nil
	})
}

func (q *asynqDisk) consume(ctx context.Context, n, workers int) error {
	t := newTally(n)
	q.workers = asynq.NewServer(q.redis, asynq.Config{
		Concurrency: workers, LogLevel: asynq.FatalLevel, ShutdownTimeout: time.Second, TaskCheckInterval: time.Millisecond,
	})
	if err := q.workers.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		t.add()
		return nil
	})); err != nil {
		return err
	}
	return t.wait(ctx)
}

func (q *asynqDisk) close() error {
	if q.workers != nil {
		q.workers.Shutdown()
	}
	return q.client.Close()
}
