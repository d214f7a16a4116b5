package payment_test

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/sluice-go/sluice/examples/payments/payment"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
	"github.com/sluice-go/sluice/producer"
)

type sender struct {
	sent []*handler.Message
	err  error
}

func (s *sender) Send(_ context.Context, ms ...*handler.Message) error {
	if s.err != nil {
		return s.err
	}
	s.sent = append(s.sent, ms...)
	return nil
}

const good = `{"id":"pay_1","account":"acme","cents":100,"currency":"EUR"}`

func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		name, body string
		err        error
		status     int
		retryAfter bool
	}{
		{"a payment", good, nil, http.StatusAccepted, false},
		{"overloaded", good, &producer.SendError{Failed: []producer.Failure{{Err: producer.ErrOverloaded}}}, http.StatusTooManyRequests, true},
		{"the queue is down", good, errors.New("no route"), http.StatusServiceUnavailable, true},
		{"no JSON", `{`, nil, http.StatusBadRequest, false},
		{"an ID that is none", strings.Replace(good, "pay_1", "a b", 1), nil, http.StatusBadRequest, false},
		{"no account", strings.Replace(good, "acme", "", 1), nil, http.StatusBadRequest, false},
		{"nothing to pay", strings.Replace(good, "100", "0", 1), nil, http.StatusBadRequest, false},
		{"no currency", strings.Replace(good, "EUR", "euro", 1), nil, http.StatusBadRequest, false},
		{"too large", strings.Repeat(" ", 1<<20), nil, http.StatusRequestEntityTooLarge, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &sender{err: c.err}
			w := httptest.NewRecorder()
			payment.Endpoint(s).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/payments", strings.NewReader(c.body)))
			require.Equal(t, c.status, w.Code, w.Body)
			require.Equal(t, c.retryAfter, w.Header().Get("Retry-After") != "")
			if c.status == http.StatusAccepted {
				require.Len(t, s.sent, 1)
				require.Equal(t, "pay_1", s.sent[0].DedupeID)
			} else {
				require.Empty(t, s.sent)
			}
		})
	}
}

// charges counts what it is asked to charge.
type charges struct {
	ids []string
	err error
}

func (c *charges) Charge(_ context.Context, p payment.Payment) (string, error) {
	c.ids = append(c.ids, p.ID)
	return "ch_1", c.err
}

func worker(t *testing.T, gateway payment.Charger) (handler.Handler, *sql.DB) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "ledger.db")+"?_txlock=immediate")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	h, _, err := payment.Worker(t.Context(), db, sqlstore.SQLite, gateway, nil)
	require.NoError(t, err)
	return h, db
}

func rows(t *testing.T, db *sql.DB) int {
	t.Helper()
	var n int
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM ledger`).Scan(&n))
	return n
}

func TestADuplicateIsNotCharged(t *testing.T) {
	gateway := &charges{}
	h, db := worker(t, gateway)
	for _, id := range []string{"delivery-1", "delivery-2"} {
		require.NoError(t, h.Handle(t.Context(), &handler.Message{ID: id, DedupeID: "pay_1", Body: []byte(good)}))
	}
	require.Equal(t, []string{"pay_1"}, gateway.ids)
	require.Equal(t, 1, rows(t, db))
}

func TestWhatIsRejectedAndWhatIsRetried(t *testing.T) {
	for _, c := range []struct {
		name, body string
		err        error
		want       handler.Action
	}{
		{"declined", good, payment.ErrDeclined, handler.ActionDeadLetter},
		{"no JSON", "{", nil, handler.ActionDeadLetter},
		{"a payment that is none", `{"id":"pay_1"}`, nil, handler.ActionDeadLetter},
		{"the gateway fails", good, &payment.StatusError{Status: 503}, handler.ActionRetry},
		{"the gateway does not answer", good, context.DeadlineExceeded, handler.ActionRetry},
	} {
		gateway := &charges{err: c.err}
		h, db := worker(t, gateway)
		err := h.Handle(t.Context(), &handler.Message{ID: "d", DedupeID: "pay_1", Body: []byte(c.body), Attempt: 1})
		require.Equal(t, c.want, handler.VerdictOf(err).Action, c.name)
		require.Zero(t, rows(t, db), c.name)
	}
}

func TestOutsideATransactionNothingIsCharged(t *testing.T) {
	gateway := &charges{}
	err := payment.Handler(gateway).Handle(t.Context(), &handler.Message{Body: []byte(good)})
	require.ErrorContains(t, err, "Transactional")
	require.Empty(t, gateway.ids)
}

func TestTheClientTellsItsKey(t *testing.T) {
	gateway := &payment.FakeGateway{}
	server := httptest.NewServer(gateway)
	defer server.Close()
	c := &payment.Client{URL: server.URL}
	p := payment.Payment{ID: "pay_1", Account: "acme", Cents: 1, Currency: "EUR"}
	first, err := c.Charge(t.Context(), p)
	require.NoError(t, err)
	second, err := c.Charge(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, first, second)
	made, calls, twice := gateway.Charged()
	require.Equal(t, 1, made)
	require.Equal(t, 2, calls)
	require.Empty(t, twice)

	p.Account = "declined"
	_, err = c.Charge(t.Context(), p)
	require.ErrorIs(t, err, payment.ErrDeclined)
}
