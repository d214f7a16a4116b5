package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/sluice-go/sluice/internal/test/testserver"
)

// A riverJob is a job with the body that all peers send.
type riverJob struct {
	Body []byte `json:"body"`
}

// Kind names the job.
func (riverJob) Kind() string { return "bench" }

type riverWorker struct {
	river.WorkerDefaults[riverJob]
	handled func()
}

// Work does nothing, and counts it.
func (w *riverWorker) Work(context.Context, *river.Job[riverJob]) error {
	w.handled()
	return nil
}

// A riverDisk is River in a database of its own. Its clients look for jobs every
// millisecond, as often as River permits: its default of ten times a second
// would be all that is measured.
type riverDisk struct {
	pool   *pgxpool.Pool
	sender *river.Client[pgx.Tx]
}

func openRiver(ctx context.Context, e *env, d durability) (diskQueue, error) {
	if e.postgres == "" {
		s, _, err := testserver.Launch(ctx, "postgres-synced")
		if err != nil {
			return nil, err
		}
		e.closers = append(e.closers, s.Close)
		e.postgres = s.URL
	}
	name := fmt.Sprint("bench", e.names.Add(1))
	if err := execPostgres(ctx, e.postgres, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	u, err := url.Parse(e.postgres)
	if err != nil {
		return nil, err
	}
	u.Path = "/" + name
	config, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		return nil, err
	}
	config.MaxConns = 20
	if d == written {
		config.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: quiet()})
	if err == nil {
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	sender, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: quiet()})
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &riverDisk{pool: pool, sender: sender}, nil
}

func execPostgres(ctx context.Context, address, statement string) error {
	pool, err := pgxpool.New(ctx, address)
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = pool.Exec(ctx, statement)
	return err
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (r *riverDisk) send(ctx context.Context, body []byte) error {
	_, err := r.sender.Insert(ctx, riverJob{Body: body}, nil)
	return err
}

func (r *riverDisk) fill(ctx context.Context, n int) error {
	body := make([]byte, bodySize)
	for n > 0 {
		jobs := make([]river.InsertManyParams, min(n, 1000))
		for i := range jobs {
			jobs[i].Args = riverJob{Body: body}
		}
		if _, err := r.sender.InsertManyFast(ctx, jobs); err != nil {
			return err
		}
		n -= len(jobs)
	}
	return nil
}

func (r *riverDisk) consume(ctx context.Context, n, workers int) error {
	t := newTally(n)
	all := river.NewWorkers()
	river.AddWorker(all, &riverWorker{handled: t.add})
	c, err := river.NewClient(riverpgxv5.New(r.pool), &river.Config{
		Logger: quiet(), Workers: all, FetchCooldown: time.Millisecond, FetchPollInterval: time.Millisecond,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
	})
	if err != nil {
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	return errors.Join(t.wait(ctx), c.Stop(ctx))
}

func (r *riverDisk) close() error {
	r.pool.Close()
	return nil
}
