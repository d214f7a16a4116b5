package service

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// A silent database takes statements and never answers.
type silent struct{}

func (s silent) Connect(context.Context) (driver.Conn, error) { return s, nil }
func (s silent) Driver() driver.Driver                        { return s }
func (s silent) Open(string) (driver.Conn, error)             { return s, nil }
func (silent) Prepare(string) (driver.Stmt, error)            { return nil, errors.ErrUnsupported }
func (silent) Begin() (driver.Tx, error)                      { return nil, errors.ErrUnsupported }
func (silent) Close() error                                   { return nil }

func (silent) ExecContext(ctx context.Context, _ string, _ []driver.NamedValue) (driver.Result, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestACleanupThatNeverAnswersIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := sql.OpenDB(silent{})
		defer db.Close()
		store, err := sqlstore.New(db, sqlstore.PostgreSQL, nil)
		require.NoError(t, err)
		var log strings.Builder
		s := &stores{log: slog.New(slog.NewTextHandler(&log, nil))}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		s.sweep(ctx, store)
		require.GreaterOrEqual(t, strings.Count(log.String(), "were not removed"), 2, log.String())
	})
}
