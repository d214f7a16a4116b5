package sqstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
)

// A Server is an SQS in this process. It is an http.Handler, and it can listen
// by itself. All its methods may be called concurrently.
type Server struct {
	registry   *registry
	dispatcher *dispatcher
	cancel     context.CancelFunc // ends registry.base
	web        *web               // nil without a socket
	bodies     bodies
	down       atomic.Bool
	closed     atomic.Bool
}

// New returns a server without a socket, for use as an http.Handler or through
// [Server.HTTPClient]. A nil cfg means the defaults. The error names every field
// of cfg that is at fault.
func New(cfg *Config) (*Server, error) {
	c, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	r := &registry{cfg: c, account: c.AccountID, engine: c.Store}
	if r.account == "" {
		r.account = defaultAccountID
	}
	if r.engine == nil {
		r.engine, r.ownsEngine = NewStore(c.Clock), true
	}
	s := &Server{registry: r, dispatcher: newDispatcher(r)}
	r.base, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// NewServer returns a server that listens on Config.Addr. The caller must close
// it.
func NewServer(cfg *Config) (*Server, error) {
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	if s.web, err = listen(s, s.registry.cfg.Addr); err != nil {
		return nil, errors.Join(fmt.Errorf("sqstest: listen on %s: %w", s.registry.cfg.Addr, err), s.Close())
	}
	return s, nil
}

// Close ends waiting receives, stops listening, and closes the store unless it
// came from Config.Store. Requests that are not answered lose their
// connection. A second Close does nothing.
func (s *Server) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.cancel()
	var errs []error
	if s.web != nil {
		errs = append(errs, s.web.close())
	}
	if s.registry.ownsEngine {
		errs = append(errs, s.registry.engine.Close())
	}
	return errors.Join(errs...)
}

// URL returns the endpoint to give to an SDK, such as "http://127.0.0.1:40001".
// Without a socket it is an address that only HTTPClient reaches.
func (s *Server) URL() string {
	if s.web != nil {
		return "http://" + s.web.addr
	}
	return "http://" + inProcessHost
}

// QueueURL returns the URL of the named queue, whether or not it exists.
func (s *Server) QueueURL(name string) string { return s.registry.queueURL(s.URL(), name) }

// QueueARN returns the ARN of the named queue, whether or not it exists.
func (s *Server) QueueARN(name string) string { return s.registry.queueARN(name) }

// Env returns the environment variables, as KEY=value, with which an AWS SDK or
// boto3 in another process finds the server: its endpoint for SQS, the region,
// and credentials that it accepts.
func (s *Server) Env() []string {
	key := "sqstest"
	if len(s.registry.cfg.AccessKeyIDs) > 0 {
		key = s.registry.cfg.AccessKeyIDs[0]
	}
	return []string{
		"AWS_ENDPOINT_URL_SQS=" + s.URL(),
		"AWS_REGION=" + s.registry.cfg.Region,
		"AWS_DEFAULT_REGION=" + s.registry.cfg.Region,
		"AWS_ACCESS_KEY_ID=" + key,
		"AWS_SECRET_ACCESS_KEY=sqstest",
	}
}

// SetDown simulates an outage: while it lasts, open connections are closed and
// new ones are closed as soon as they are made (with HTTPClient, requests fail
// as if the connection was refused). Messages and leases are unchanged.
func (s *Server) SetDown(down bool) {
	s.down.Store(down)
	if down && s.web != nil {
		s.web.drop()
	}
}

// ServeHTTP implements http.Handler. A POST on any path is a request of SQS's
// JSON protocol, because SDKs post to the endpoint and some to the queue's URL.
// A GET answers 200, for health checks.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"service":"sqs","server":"sqstest"}`+"\n") // the client has gone, then
		return
	}
	if s.down.Load() {
		hangUp()
	}
	buffer, err := s.bodies.read(r.Body, r.ContentLength)
	defer s.bodies.keep(buffer)
	var out reply
	if err != nil {
		var tooLarge *http.MaxBytesError
		if !errors.As(err, &tooLarge) {
			hangUp()
		}
		out = s.dispatcher.failed(plain(codeRequestEntityTooLarge))
	} else {
		out = s.dispatcher.do(r.Context(), incomingOf(r, buffer.Bytes()))
	}
	if out.noAnswer {
		hangUp()
	}
	out.header(w.Header())
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body) // the client has gone, then
}

// HTTPClient returns a client whose requests, to any address, are served by s
// in this process on the caller's goroutine, without socket, goroutine or
// timer. An SDK that uses it works in a testing/synctest bubble.
func (s *Server) HTTPClient() *http.Client {
	return &http.Client{Transport: inProcess{s}}
}

// Count returns how many requests of an action have arrived since the server
// started or ResetCounts was called: those that failed, and those that are being
// worked on, included. An empty action is all of them.
func (s *Server) Count(action string) int {
	return s.dispatcher.ledger.count(action)
}

// Counts returns what Count counts, by action.
func (s *Server) Counts() map[string]int {
	return s.dispatcher.ledger.all()
}

// ResetCounts sets the counts to zero and forgets the requests.
func (s *Server) ResetCounts() {
	s.dispatcher.ledger.reset()
}

// Requests returns the last Config.KeepRequests requests that have been
// answered, in the order of their answers.
func (s *Server) Requests() []Request {
	return s.dispatcher.ledger.answeredLast()
}

// Inject adds a fault for requests that arrive from now on. If several match a
// request, all strike, in the order of their injection, up to the first that
// ends it.
func (s *Server) Inject(f Fault) *Injection {
	i := &Injection{fault: f, set: &s.dispatcher.faults}
	s.dispatcher.faults.add(i)
	return i
}

// RemoveFaults removes all faults.
func (s *Server) RemoveFaults() { s.dispatcher.faults.clear() }
