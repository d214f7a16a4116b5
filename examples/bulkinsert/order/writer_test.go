package order_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/sluice-go/sluice/examples/bulkinsert/order"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/test/testserver"
)

// statements counts what is sent to the database.
type statements struct {
	mu  sync.Mutex
	all []string
}

// TraceQueryStart takes note of a statement.
func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, d.SQL)
	return ctx
}

// TraceQueryEnd does nothing.
func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// inserts returns how many inserts there were since it was asked last.
func (s *statements) inserts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, sql := range s.all {
		if strings.HasPrefix(sql, "INSERT") {
			n++
		}
	}
	s.all = nil
	return n
}

func open(t *testing.T) (*order.Writer, *statements) {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(testserver.Postgres(t).URL)
	require.NoError(t, err)
	s := &statements{}
	cfg.ConnConfig.Tracer = s
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(t.Context(), order.Schema)
	require.NoError(t, err)
	return &order.Writer{DB: pool}, s
}

func good(id string) string {
	return fmt.Sprintf(`{"id":%q,"customer":"ann","cents":5,"placed_at":"2026-01-02T03:04:05Z"}`, id)
}

func messages(bodies ...string) []*handler.Message {
	ms := make([]*handler.Message, len(bodies))
	for i, b := range bodies {
		ms[i] = &handler.Message{Body: []byte(b)}
	}
	return ms
}

func ids(t *testing.T, w *order.Writer) []string {
	t.Helper()
	rows, err := w.DB.Query(t.Context(), "SELECT id FROM orders ORDER BY id")
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return all
}

func TestEachMessageHasItsOwnVerdict(t *testing.T) {
	w, s := open(t)
	for _, tc := range []struct {
		name, body string
		says       string // of the rejection; empty is an ack
	}{
		{"good", good("a"), ""},
		{"its duplicate", good("a"), ""},
		{"no JSON", "{", "unexpected end"},
		{"no id", `{"customer":"ann","cents":5}`, "no id"},
		{"below zero", strings.Replace(good("b"), "5,", "-5,", 1), "orders_cents_check"},
		{"no customer", strings.Replace(good("c"), "ann", "", 1), "orders_customer_check"},
		{"a NUL, which PostgreSQL does not take", strings.Replace(good("d"), "ann", `\u0000`, 1), "0x00"},
		{"good as well", good("e"), ""},
	} {
		t.Run("alone: "+tc.name, func(t *testing.T) { requireVerdict(t, w.HandleBatch(t.Context(), messages(tc.body))[0], tc.says) })
		t.Run("among others: "+tc.name, func(t *testing.T) {
			errs := w.HandleBatch(t.Context(), messages(good("x"), tc.body, good("y"), good("z")))
			require.Len(t, errs, 4)
			requireVerdict(t, errs[1], tc.says)
			for _, i := range []int{0, 2, 3} {
				require.NoError(t, errs[i])
			}
		})
	}
	require.Equal(t, []string{"a", "e", "x", "y", "z"}, ids(t, w))
	s.inserts()
	require.Equal(t, make([]error, 2), w.HandleBatch(t.Context(), messages(good("f"), good("a"))))
	require.Equal(t, 1, s.inserts(), "one statement")
}

func requireVerdict(t *testing.T, err error, says string) {
	t.Helper()
	if says == "" {
		require.NoError(t, err)
		return
	}
	require.ErrorContains(t, err, says)
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(err).Action)
}

func TestABadRowAmongManyCostsFewStatements(t *testing.T) {
	w, s := open(t)
	var bodies []string
	for i := range 1000 {
		bodies = append(bodies, good(fmt.Sprintf("%04d", i)))
	}
	bodies[777] = strings.Replace(bodies[777], "5,", "0,", 1)
	s.inserts()
	errs := w.HandleBatch(t.Context(), messages(bodies...))
	require.Less(t, s.inserts(), 25)
	require.Error(t, errs[777])
	require.Equal(t, make([]error, 999), slices.Delete(errs, 777, 778))
	require.Len(t, ids(t, w), 999)
}

func TestAnOutageRetriesAllButWhatIsWrong(t *testing.T) {
	w, _ := open(t)
	_, err := w.DB.Exec(t.Context(), "DROP TABLE orders")
	require.NoError(t, err)
	errs := w.HandleBatch(t.Context(), messages(good("a"), "{", good("b")))
	require.ErrorContains(t, errs[0], `"orders" does not exist`)
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(errs[0]).Action)
	require.Equal(t, handler.ActionDeadLetter, handler.VerdictOf(errs[1]).Action)
	require.Equal(t, errs[0], errs[2])

	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopped"))
	errs = w.HandleBatch(ended, messages(good("a")))
	require.ErrorIs(t, errs[0], context.Canceled)
	require.Equal(t, handler.ActionRetry, handler.VerdictOf(errs[0]).Action)
}
