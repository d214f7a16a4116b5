package sqstest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-go/sluice/internal/queue"
)

// A Server is an SQS in this process. It is an http.Handler, and it can listen
// by itself. All its methods may be called concurrently.
type Server struct {
	cfg        Config
	account    string
	engine     queue.Engine
	ownsEngine bool
	operations map[string]operation
	accessKeys map[string]bool // nil: anybody

	base   context.Context // ends with Close
	cancel context.CancelFunc
	web    *web // nil without a socket

	faults   faultSet
	ledger   ledger
	requests atomic.Uint64 // numbers the request IDs
	down     atomic.Bool
	closed   atomic.Bool
	buffers  sync.Pool // of *bytes.Buffer

	// changing is held while a queue is made, changed or deleted, so that a
	// change of one attribute loses none of another's.
	changing sync.Mutex
	purged   map[string]time.Time
	deleted  map[string]time.Time

	known    sync.Map // name → *settings, where nobody else uses the engine
	inFlight sync.Map // name → *inFlight
	attempts attempts
}

// New returns a server without a socket, for use as an http.Handler or through
// [Server.HTTPClient]. A nil cfg means the defaults. The error names every field
// of cfg that is at fault.
func New(cfg *Config) (*Server, error) {
	c := cfg.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg:        c,
		account:    c.AccountID,
		engine:     c.Store,
		operations: operations(),
		ledger:     ledger{keep: c.KeepRequests, counts: map[string]int{}},
		purged:     map[string]time.Time{},
		deleted:    map[string]time.Time{},
	}
	s.faults.denied = s.deniedMessage
	s.faults.random = rand.New(rand.NewPCG(c.Seed, 0)) // repeatable on purpose
	if s.account == "" {
		s.account = DefaultAccountID
	}
	if c.AccessKeyIDs != nil {
		s.accessKeys = map[string]bool{}
		for _, id := range c.AccessKeyIDs {
			s.accessKeys[id] = true
		}
	}
	if s.engine == nil {
		s.engine, s.ownsEngine = NewStore(c.Clock), true
	}
	s.base, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// NewServer returns a server that listens on Config.Addr. Close it when it is
// not needed any more.
func NewServer(cfg *Config) (*Server, error) {
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	if s.web, err = listen(s, s.cfg.Addr); err != nil {
		return nil, errors.Join(fmt.Errorf("sqstest: listen on %s: %w", s.cfg.Addr, err), s.Close())
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
	if s.ownsEngine {
		errs = append(errs, s.engine.Close())
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
func (s *Server) QueueURL(name string) string { return s.queueURL(s.URL(), name) }

func (s *Server) queueURL(origin, name string) string {
	return origin + "/" + s.account + "/" + name
}

// QueueARN returns the ARN of the named queue, whether or not it exists.
func (s *Server) QueueARN(name string) string {
	return "arn:aws:sqs:" + s.cfg.Region + ":" + s.account + ":" + name
}

// Env returns the environment variables, as KEY=value, with which an AWS SDK or
// boto3 in another process finds the server: its endpoint for SQS, the region,
// and credentials that it accepts.
func (s *Server) Env() []string {
	key := "sqstest"
	if len(s.cfg.AccessKeyIDs) > 0 {
		key = s.cfg.AccessKeyIDs[0]
	}
	return []string{
		"AWS_ENDPOINT_URL_SQS=" + s.URL(),
		"AWS_REGION=" + s.cfg.Region,
		"AWS_DEFAULT_REGION=" + s.cfg.Region,
		"AWS_ACCESS_KEY_ID=" + key,
		"AWS_SECRET_ACCESS_KEY=sqstest",
	}
}

// SetDown simulates an outage: while it lasts, open connections are closed and
// new ones are closed as soon as they are made (with HTTPClient, requests fail
// as if the connection was refused). Messages and leases go on as they were.
func (s *Server) SetDown(down bool) {
	s.down.Store(down)
	if down && s.web != nil {
		s.web.drop()
	}
}
