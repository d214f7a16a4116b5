package payment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// ErrDeclined is in the error of a charge that the gateway declines for good.
var ErrDeclined = errors.New("declined")

// Client charges through a gateway's HTTP API. It may be used concurrently.
type Client struct {
	// URL is the gateway's.
	URL string
	// HTTP makes the requests. Nil means one that waits ten seconds for an answer.
	HTTP *http.Client
}

const defaultTimeout = 10 * time.Second

// StatusError is an answer of the gateway that is not a success. The backoff
// middleware reads its status: Worker names those that another attempt can't mend.
type StatusError struct{ Status int }

// Error returns the status in words.
func (e *StatusError) Error() string {
	return fmt.Sprintf("the gateway answers %d %s", e.Status, http.StatusText(e.Status))
}

// HTTPStatusCode returns the status.
func (e *StatusError) HTTPStatusCode() int { return e.Status }

// Charge charges p, once for each p.ID however often it is called, and returns
// the charge's reference. After an error that is not ErrDeclined it is not known
// whether the customer was charged: call again.
func (c *Client) Charge(ctx context.Context, p Payment) (string, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/charges", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Idempotency-Key", p.ID)
	req.Header.Set("Content-Type", "application/json")
	client := c.HTTP
	if client == nil {
		client = &http.Client{Timeout: defaultTimeout}
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	switch {
	case err != nil:
		return "", err
	case resp.StatusCode == http.StatusPaymentRequired:
		return "", fmt.Errorf("%w: %w", ErrDeclined, &StatusError{resp.StatusCode})
	case resp.StatusCode != http.StatusOK:
		return "", &StatusError{resp.StatusCode}
	}
	return string(answer), nil
}

// FakeGateway is a payment gateway for tests and for trying out: it charges
// nobody, remembers by idempotency key, and fails now and then in the ways that
// gateways fail. The zero FakeGateway never fails. It may be used concurrently.
type FakeGateway struct {
	// Every nth call fails, in turn: 500 before the charge; 500 after it; an
	// answer that comes too late, after the charge. Zero never fails.
	FailEvery int
	// Late is how late the late answer is.
	Late time.Duration

	mu      sync.Mutex
	calls   int
	charges map[string]string // references by key
	twice   []string
	// payments that were charged, whatever the key
	payments map[string]bool
}

// ServeHTTP implements http.Handler.
func (g *FakeGateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var p Payment
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&p); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	reference, failure, declined := g.charge(r.Header.Get("Idempotency-Key"), p)
	switch {
	case declined:
		refuse(w, http.StatusPaymentRequired, ErrDeclined)
	case failure == noAnswer:
		t := time.NewTimer(g.Late)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
		}
		refuse(w, http.StatusGatewayTimeout, errors.New("too late"))
	case failure != noFailure:
		refuse(w, http.StatusInternalServerError, errors.New("the gateway has a bad moment"))
	default:
		_, _ = io.WriteString(w, reference)
	}
}

type failure int

const (
	noFailure failure = iota
	beforeCharge
	afterCharge
	noAnswer
)

// declinedAccount is an account that is never charged.
const declinedAccount = "declined"

func (g *FakeGateway) charge(key string, p Payment) (reference string, f failure, declined bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.Account == declinedAccount {
		return "", noFailure, true
	}
	g.calls++
	if g.FailEvery > 0 && g.calls%g.FailEvery == 0 {
		f = beforeCharge + failure(g.calls/g.FailEvery%3)
	}
	if f == beforeCharge {
		return "", f, false
	}
	if g.charges == nil {
		g.charges = make(map[string]string)
	}
	if key == "" { // a gateway without keys charges at each call
		key = "call-" + strconv.Itoa(g.calls)
	}
	reference, known := g.charges[key]
	if !known {
		reference = "ch_" + strconv.Itoa(len(g.charges)+1)
		g.charges[key] = reference
		if g.payments == nil {
			g.payments = make(map[string]bool)
		}
		if g.payments[p.ID] {
			g.twice = append(g.twice, p.ID)
		}
		g.payments[p.ID] = true
	}
	return reference, f, false
}

// Charged returns how many charges were made, how many calls that took, and which
// payments were charged more than once.
func (g *FakeGateway) Charged() (charges, calls int, twice []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.charges), g.calls, append([]string(nil), g.twice...)
}
