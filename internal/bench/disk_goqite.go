package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"path/filepath"
	"time"

	"maragu.dev/goqite"
	_ "modernc.org/sqlite" // the driver that Sluice uses too
)

// goqiteSchema is the table that goqite's documentation gives.
//
//go:embed goqite.sql
var goqiteSchema string

// A goqiteDisk is github.com/maragudk/goqite, with the loop of its
// documentation in each worker.
type goqiteDisk struct {
	db *sql.DB
	q  *goqite.Queue
}

func openGoqite(ctx context.Context, e *env, d durability) (diskQueue, error) {
	sync := "NORMAL"
	if d == synced {
		sync = "FULL"
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(e.dir, e.name("goqite")+".db")+
		"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_pragma=synchronous("+sync+")")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // as goqite's documentation has it
	db.SetMaxIdleConns(1)
	if _, err := db.ExecContext(ctx, goqiteSchema); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &goqiteDisk{db: db, q: goqite.New(goqite.NewOpts{DB: db, Name: "bench", Timeout: time.Minute})}, nil
}

func (g *goqiteDisk) send(ctx context.Context, body []byte) error {
	return g.q.Send(ctx, goqite.Message{Body: body})
}

func (g *goqiteDisk) fill(ctx context.Context, n int) error {
	body := make([]byte, bodySize)
	for n > 0 {
		tx, err := g.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		batch := min(n, 1000)
		for range batch {
			if err := g.q.SendTx(ctx, tx, goqite.Message{Body: body}); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		n -= batch
	}
	return nil
}

func (g *goqiteDisk) consume(ctx context.Context, n, workers int) error {
	return split(workers, n, func(n int) error {
		for range n {
			m, err := g.q.Receive(ctx)
			if err != nil {
				return err
			}
			if m == nil {
				return errors.New("goqite: the queue is empty")
			}
			if err := g.q.Delete(ctx, m.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

func (g *goqiteDisk) close() error { return g.db.Close() }
