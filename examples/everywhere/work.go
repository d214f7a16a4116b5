package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the books

	"github.com/sluice-go/sluice/examples/everywhere/invoice"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/backoff"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// work is the input, the same for every runtime: invoices of which some come
// twice, some fail at first, one is canceled, and two are poison.
func work() ([]*handler.Message, error) {
	var ms []*handler.Message
	add := func(i invoice.Invoice) error {
		body, err := json.Marshal(i)
		ms = append(ms, &handler.Message{Body: body, DedupeID: i.Number})
		return err
	}
	var errs []error
	for n := range 24 {
		i := invoice.Invoice{Number: fmt.Sprintf("in-%02d", n), Cents: int64(100 + n)}
		switch {
		case n%8 == 3:
			i.Bank = "shaky"
		case n%8 == 5:
			i.Bank = "busy"
		case n == 7:
			i.Cents = -1
		case n == 9:
			i.Canceled = true
		}
		errs = append(errs, add(i))
		if n%6 == 0 { // its sender was not sure, and sent it again
			errs = append(errs, add(i))
		}
	}
	ms = append(ms, &handler.Message{Body: []byte("not an invoice"), DedupeID: "in-99"})
	return ms, errors.Join(errs...)
}

// The result that work must have: a row an invoice that was paid, and a letter for each
// that is poison.
const (
	wantPaid    = 22
	wantLetters = 2
)

// books are where effects are written, in a directory that all processes share.
type books struct {
	dir string
	db  *sql.DB
}

func openBooks(ctx context.Context, dir string) (*books, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "books.db"))+
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	b := &books{dir: dir, db: db}
	if err := os.MkdirAll(b.bank(), 0o700); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS paid (number text NOT NULL, cents integer NOT NULL)`); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return b, nil
}

func (b *books) bank() string { return filepath.Join(b.dir, "bank") }

// paid returns the rows, as text, in the order of their numbers.
func (b *books) paid(ctx context.Context) (rows []string, err error) {
	found, err := b.db.QueryContext(ctx, `SELECT number, cents FROM paid ORDER BY number`)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		var number string
		var cents int64
		if err := found.Scan(&number, &cents); err != nil {
			return nil, err
		}
		rows = append(rows, fmt.Sprintf("%s %d", number, cents))
	}
	return rows, found.Err()
}

// guarded is a handler in its middleware, and the gates of that: a consumer stops
// receiving while the books are out of reach. Lambda and pushes have no use for
// gates: there it is the provider that receives.
type guarded struct {
	handler.Handler
	gates []handler.Gate
}

// handler returns the invoices' handler in its middleware. This is all there is
// to it, wherever it runs.
func (b *books) handler(ctx context.Context, log *slog.Logger) (guarded, error) {
	store, err := sqlstore.New(b.db, sqlstore.SQLite, nil)
	if err != nil {
		return guarded{}, err
	}
	if err := store.Migrate(ctx); err != nil {
		return guarded{}, err
	}
	config := &sqlstore.TxConfig{BusyRetry: 100 * time.Millisecond}
	config.Logger = log
	config.RetryMax = time.Second
	once, err := sqlstore.Transactional(store, config)
	if err != nil {
		return guarded{}, err
	}
	stack, err := middleware.Standard(&middleware.Config{
		Logger:      log,
		Idempotency: once,
		Backoff:     &backoff.Config{Min: 20 * time.Millisecond, Max: time.Second},
		Timeout:     10 * time.Second,
	})
	if err != nil {
		return guarded{}, err
	}
	h := stack.Handler(invoice.Handler(&invoice.Bank{Dir: b.bank()}, func(ctx context.Context, i invoice.Invoice) error {
		_, err := sqlstore.Tx(ctx).ExecContext(ctx, `INSERT INTO paid (number, cents) VALUES ($1, $2)`, i.Number, i.Cents)
		return err
	}))
	return guarded{h, stack.Gates()}, nil
}
