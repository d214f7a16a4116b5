package sqlstore_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/internal/test/testserver/swallow"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// silenced opens a PostgreSQL by a line that can die.
func silenced(t *testing.T) (*sql.DB, *swallow.Line) {
	t.Helper()
	u, line := swallow.URL(t, testserver.Postgres(t).URL)
	db, err := sql.Open("pgx", u.String())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, line
}

// A line that dies under a transaction says nothing. The message is given back in
// StoreTimeout all the same, and the connection is not kept.
func TestALineThatDiesHoldsNoMessage(t *testing.T) {
	t.Parallel()
	db, line := silenced(t)
	s := newPostgresStore(t, db)
	l := newLedger(t, db)
	h := transactional(t, s, l, &sqlstore.TxConfig{Config: idempotency.Config{StoreTimeout: 2 * time.Second}})
	for name, c := range map[string]struct {
		verdict error
		want    string
	}{
		"at the commit":   {nil, "commit: no answer"},
		"at the rollback": {handler.Reject(handler.ErrNoLease), handler.ErrNoLease.Error()},
		"at a failure":    {handler.ErrNoLease, handler.ErrNoLease.Error()},
	} {
		l.after = func(context.Context) error { line.Die(); return c.verdict }
		done := make(chan error, 1)
		go func() { done <- h.Handle(context.Background(), &handler.Message{ID: name}) }()
		select {
		case err := <-done:
			require.ErrorContains(t, err, c.want)
		case <-time.After(time.Minute):
			require.Fail(t, "the message is held", name)
		}
		require.Eventually(t, func() bool { return db.Stats().InUse == 0 }, time.Minute, 10*time.Millisecond, "%s: the connection is kept", name)
	}
	require.Zero(t, l.effects(t))
	l.after = nil
	require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: "another"}))
}
