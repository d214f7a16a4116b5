package outbox_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
	"github.com/sluice-go/sluice/outbox"
)

func message(body string) *handler.Message { return &handler.Message{Body: []byte(body)} }

// in runs f in a transaction that commits.
func in(t *testing.T, db *sql.DB, f func(tx *sql.Tx)) {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	f(tx)
	require.NoError(t, tx.Commit())
}

// bodies are those of pending rows.
func bodies(t *testing.T, table *outbox.Table) (out []string) {
	t.Helper()
	entries, err := table.Pending(t.Context(), 0)
	require.NoError(t, err)
	for _, e := range entries {
		out = append(out, string(e.Message.Body))
	}
	return out
}

// take receives what there is.
func take(t *testing.T, s drivers.Source) []drivers.Delivery {
	t.Helper()
	ds, err := s.Receive(t.Context(), 100, 0)
	require.NoError(t, err)
	return ds
}

// ack acknowledges a message. Like a consumer, it repeats what an error that passes has
// prevented: MySQL may choose the request as the victim of a deadlock.
func ack(t *testing.T, s drivers.Source, d drivers.Delivery) error {
	t.Helper()
	for tries := 0; ; tries++ {
		errs := s.Settle(t.Context(), []drivers.Settlement{{Receipt: d.Receipt, Message: d.Message, Action: handler.ActionAck}})
		if errs == nil {
			return nil
		}
		if tries == 10 || !drivers.CodeOf(errs[0]).Retryable() {
			return errs[0]
		}
	}
}

func TestARowLivesAndDiesWithItsTransaction(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		in(t, db, func(tx *sql.Tx) {
			m := message("kept")
			require.NoError(t, table.Send(t.Context(), tx, "orders", m))
			require.NotEmpty(t, m.ID)
		})
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		require.NoError(t, table.Send(t.Context(), tx, "orders", message("ghost")))
		require.NoError(t, tx.Rollback())
		require.Equal(t, []string{"kept"}, bodies(t, table))
	})
}

func TestAMessageIsAsItWasWritten(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		table, err := outbox.New(db, dialectOf(table), &outbox.Config{Prepare: []func(context.Context, *handler.Message) error{
			func(_ context.Context, m *handler.Message) error { m.SetAttribute("traceparent", "00-x"); return nil },
		}})
		require.NoError(t, err)
		m := &handler.Message{Body: []byte("\x00\xff"), Group: "g\x00", DedupeID: "d", Attributes: map[string]string{"k": "v\x00"}}
		require.NoError(t, table.Send(t.Context(), db, "orders", m))
		require.Equal(t, map[string]string{"k": "v\x00"}, m.Attributes, "the caller's message is left alone")
		s, err := table.Source(nil)
		require.NoError(t, err)
		defer s.Close()
		d := take(t, s)
		require.Len(t, d, 1)
		got := d[0].Message
		require.Equal(t, m.Body, got.Body)
		require.Equal(t, "g\x00", got.Group)
		require.Equal(t, "d", got.DedupeID)
		require.Equal(t, map[string]string{"k": "v\x00", "traceparent": "00-x"}, got.Attributes)
		require.Equal(t, m.ID, got.ID)
	})
}

func TestAPendingKeyIsNotWrittenTwice(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		first, second, other := message("first"), message("second"), message("other queue")
		in(t, db, func(tx *sql.Tx) {
			wrote, err := table.SendUnique(t.Context(), tx, "a", "k", first)
			require.NoError(t, err)
			require.True(t, wrote)
			wrote, err = table.SendUnique(t.Context(), tx, "a", "k", second)
			require.NoError(t, err)
			require.False(t, wrote)
			require.Equal(t, first.ID, second.ID)
			wrote, err = table.SendUnique(t.Context(), tx, "b", "k", other)
			require.NoError(t, err)
			require.True(t, wrote)
		})
		require.Equal(t, []string{"first", "other queue"}, bodies(t, table))
		s, err := table.Source(&outbox.SourceConfig{Queues: []string{"a"}})
		require.NoError(t, err)
		defer s.Close()
		d := take(t, s)
		require.Len(t, d, 1)
		wrote, err := table.SendUnique(t.Context(), db, "a", "k", message("while it is sent"))
		require.NoError(t, err)
		require.False(t, wrote)
		require.NoError(t, ack(t, s, d[0]))
		wrote, err = table.SendUnique(t.Context(), db, "a", "k", message("after"))
		require.NoError(t, err)
		require.True(t, wrote)
	})
}

func TestDebounceReplacesThePendingMessage(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		debounce := func(body string, delay time.Duration) bool {
			m := message(body)
			m.Delay = delay
			replaced, err := table.Debounce(t.Context(), db, "q", "k", m)
			require.NoError(t, err)
			require.NotEmpty(t, m.ID)
			return replaced
		}
		require.False(t, debounce("one", time.Hour))
		require.True(t, debounce("two", time.Hour))
		require.Equal(t, []string{"two"}, bodies(t, table))
		require.True(t, debounce("three", 0))
		s, err := table.Source(nil)
		require.NoError(t, err)
		defer s.Close()
		d := take(t, s)
		require.Len(t, d, 1)
		require.Equal(t, "three", string(d[0].Message.Body))
		// A relay is sending it: its ack must not mark the new message as sent.
		require.True(t, debounce("four", 0))
		require.ErrorIs(t, ack(t, s, d[0]), drivers.ErrLeaseLost)
		d = take(t, s)
		require.Len(t, d, 1)
		require.Equal(t, "four", string(d[0].Message.Body))
		require.NoError(t, ack(t, s, d[0]))
		require.False(t, debounce("five", 0))
		require.Equal(t, []string{"five"}, bodies(t, table))
		_, err = table.Debounce(t.Context(), db, "q", "k", &handler.Message{Group: "g"})
		require.ErrorIs(t, err, drivers.ErrInvalid)
	})
}

// The tail of a group waits for its head, in whichever receive.
func TestTheHeadOfAGroupHoldsBackItsTail(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		for _, m := range []*handler.Message{
			{Body: []byte("a1"), Group: "a"},
			{Body: []byte("later"), Group: "a", Delay: time.Hour},
			{Body: []byte("a2"), Group: "a"}, {Body: []byte("b1"), Group: "b"}, {Body: []byte("free")},
		} {
			require.NoError(t, table.Send(t.Context(), db, "q", m))
		}
		s, err := table.Source(nil)
		require.NoError(t, err)
		defer s.Close()
		ds, err := s.Receive(t.Context(), 1, 0)
		require.NoError(t, err)
		require.Len(t, ds, 1)
		require.Equal(t, "a1", string(ds[0].Message.Body))
		rest := take(t, s)
		require.Len(t, rest, 2, "b1 and free")
		require.Nil(t, s.Settle(t.Context(), []drivers.Settlement{{Receipt: ds[0].Receipt, Message: ds[0].Message, Delayed: true, Delay: time.Hour}}))
		require.Empty(t, take(t, s), "the head backs off")
		require.NoError(t, table.Send(t.Context(), db, "r", &handler.Message{Body: []byte("another queue"), Group: "a"}))
		require.Len(t, take(t, s), 1)
	})
}

func TestSentRowsAreCleanedUp(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		require.NoError(t, table.Send(t.Context(), db, "q", message("sent"), message("pending")))
		s, err := table.Source(nil)
		require.NoError(t, err)
		defer s.Close()
		require.NoError(t, ack(t, s, take(t, s)[0]))
		n, err := table.Cleanup(t.Context(), time.Hour, 0)
		require.NoError(t, err)
		require.Zero(t, n)
		require.Eventually(t, func() bool {
			n, err = table.Cleanup(t.Context(), 0, 0)
			return err == nil && n == 1
		}, 10*time.Second, 5*time.Millisecond)
		require.Equal(t, []string{"pending"}, bodies(t, table))
	})
}

func TestATableThatIsNotThereOrOfAnotherVersion(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		for name, c := range map[string]struct {
			make string
			code error
			text string
		}{
			"missing": {code: drivers.ErrNotFound, text: "Table.Migrate"},
			"other":   {make: "CREATE TABLE other (seq bigint)", code: drivers.ErrInvalid, text: "another version"},
		} {
			if c.make != "" {
				_, err := db.ExecContext(t.Context(), c.make)
				require.NoError(t, err)
			}
			table, err := outbox.New(db, dialectOf(table), &outbox.Config{Table: name})
			require.NoError(t, err)
			err = table.Check(t.Context())
			require.ErrorIs(t, err, c.code)
			require.ErrorContains(t, err, c.text)
		}
		for range 2 {
			require.NoError(t, table.Migrate(t.Context()))
		}
		require.NoError(t, table.Check(t.Context()))
	})
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	_, err := outbox.New(nil, 0, &outbox.Config{Table: "a b", Prepare: []func(context.Context, *handler.Message) error{nil}})
	for _, text := range []string{"the database is nil", "dialect 0", `Table is "a b"`, "Prepare[0] is nil"} {
		require.ErrorContains(t, err, text)
	}
	require.Empty(t, outbox.Migration(0, ""))
	require.Empty(t, outbox.Migration(outbox.SQLite, "a;b"))
	require.Contains(t, outbox.Migration(outbox.MySQL, ""), "CREATE TABLE IF NOT EXISTS sluice_outbox")
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		for name, m := range map[string]*handler.Message{
			"nil": nil, "negative": {Delay: -1}, "group": {Group: "\xff"}, "dedupe": {DedupeID: "\xff"},
			"name": {Attributes: map[string]string{"": "x"}}, "value": {Attributes: map[string]string{"x": "\xff"}},
		} {
			require.ErrorIs(t, table.Send(t.Context(), db, "q", m), drivers.ErrInvalid, name)
		}
		for _, queue := range []string{"", strings.Repeat("q", 256), "a\x00", "\xff"} {
			require.ErrorIs(t, table.Send(t.Context(), db, queue, message("x")), drivers.ErrInvalid, "%q", queue)
			_, err := table.Sink(queue)
			require.ErrorIs(t, err, drivers.ErrInvalid)
		}
		for _, key := range []string{"", strings.Repeat("k", 256), "a\x00", "\xff"} {
			_, err := table.SendUnique(t.Context(), db, "q", key, message("x"))
			require.ErrorIs(t, err, drivers.ErrInvalid, "%q", key)
		}
		failing, err := outbox.New(db, dialectOf(table), &outbox.Config{Prepare: []func(context.Context, *handler.Message) error{
			func(context.Context, *handler.Message) error { return errors.New("no") },
		}})
		require.NoError(t, err)
		require.ErrorContains(t, failing.Send(t.Context(), db, "q", message("x")), "prepare: no")
		require.Empty(t, bodies(t, table))
	})
}

func dialectOf(table *outbox.Table) outbox.Dialect {
	for _, d := range all {
		if strings.HasPrefix(table.String(), d.String()) {
			return d
		}
	}
	return 0
}

// A message that is not valid, and a failure later on, leave none of the messages before.
func TestAllMessagesOfACallAreWrittenOrNone(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		ms := make([]*handler.Message, 150)
		for i := range ms {
			ms[i] = message("x")
		}
		ms[149] = &handler.Message{Delay: -1}
		in(t, db, func(tx *sql.Tx) { require.ErrorIs(t, table.Send(t.Context(), tx, "orders", ms...), drivers.ErrInvalid) })
		require.Empty(t, bodies(t, table))
		require.Empty(t, ms[0].ID)

		if dialectOf(table) != outbox.SQLite {
			return
		}
		_, err := db.ExecContext(t.Context(), "CREATE TRIGGER fail BEFORE INSERT ON sluice_outbox WHEN NEW.grp = 'bad' BEGIN SELECT RAISE(ABORT, 'refused'); END")
		require.NoError(t, err)
		ms[149] = &handler.Message{Group: "bad"}
		require.ErrorContains(t, table.Send(t.Context(), nil, "orders", ms...), "refused")
		require.Empty(t, bodies(t, table))
	})
}

// A row that cannot be read holds back its group, and nothing else. Operators see it.
func TestADamagedRowHoldsBackItsGroupOnly(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, db *sql.DB, table *outbox.Table) {
		require.NoError(t, table.Send(t.Context(), nil, "orders", &handler.Message{Body: []byte("damaged"), Group: "g"}))
		_, err := db.ExecContext(t.Context(), "UPDATE sluice_outbox SET message = '{'")
		require.NoError(t, err)
		require.NoError(t, table.Send(t.Context(), nil, "orders", &handler.Message{Body: []byte("behind it"), Group: "g"}, message("other")))
		s, err := table.Source(nil)
		require.NoError(t, err)
		defer s.Close()
		d := take(t, s)
		require.Len(t, d, 1)
		require.Equal(t, "other", string(d[0].Message.Body))
		require.NoError(t, ack(t, s, d[0]))
		require.Empty(t, take(t, s))
		failing, err := table.Failing(t.Context(), 0)
		require.NoError(t, err)
		require.Len(t, failing, 1)
		require.Contains(t, failing[0].Error, "has a damaged message")
		require.Contains(t, failing[0].Error, "delete the row")
		require.Equal(t, []string{"damaged", "behind it"}, bodies(t, table))
	})
}

// Keys and queues that differ by spaces at the end are different.
func TestKeysAreComparedByTheirBytes(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, _ *sql.DB, table *outbox.Table) {
		for _, key := range []string{"k", "k ", "K", "k\u0301", "\u212a"} {
			for _, queue := range []string{"q", "q ", "Q"} {
				wrote, err := table.SendUnique(t.Context(), nil, queue, key, message(key))
				require.NoError(t, err)
				require.True(t, wrote, "queue %q key %q", queue, key)
			}
		}
		s, err := table.Source(&outbox.SourceConfig{Queues: []string{"q"}})
		require.NoError(t, err)
		defer s.Close()
		require.Len(t, take(t, s), 5)
	})
}

// MySQL's driver can be set to count the rows that a statement found and left as they were.
func TestAPendingKeyWithFoundRows(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("mysql", testserver.MariaDB(t).URL+"?clientFoundRows=true")
	require.NoError(t, err)
	defer db.Close()
	table, err := outbox.New(db, outbox.MySQL, nil)
	require.NoError(t, err)
	require.NoError(t, table.Migrate(t.Context()))
	first, second := message("first"), message("second")
	wrote, err := table.SendUnique(t.Context(), nil, "q", "k", first)
	require.NoError(t, err)
	require.True(t, wrote)
	wrote, err = table.SendUnique(t.Context(), nil, "q", "k", second)
	require.NoError(t, err)
	require.False(t, wrote)
	require.Equal(t, first.ID, second.ID)
}
