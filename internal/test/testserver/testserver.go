// Package testserver starts real servers for tests, each on a free port of the
// loopback interface: LocalStack, ElasticMQ, Redis, PostgreSQL, MariaDB, RabbitMQ and DynamoDB
// (by moto).
//
// A function named after a server returns one that all tests of a run of the go
// command share: the first call starts it, and it ends with the go command,
// however that ends. In a test binary that something else started, the server is
// shared by the tests of that binary and ends with it. A test must use names of
// its own in it ([Name]). If the environment names a server
// (SLUICE_LOCALSTACK_URL, SLUICE_ELASTICMQ_URL, SLUICE_REDIS_URL,
// SLUICE_POSTGRES_URL, SLUICE_MARIADB_URL, SLUICE_DYNAMODB_URL, SLUICE_RABBITMQ_URL) that one is
// used instead; the command withservers sets these variables. The functions whose
// names begin with Own start a server for one test, which may stop and start it.
//
// The programs of a server are installed into the user's cache directory, or found on
// the machine: on the PATH, and where packages of PostgreSQL and RabbitMQ put
// their programs beside it. With SLUICE_PATH_ONLY=1 the PATH alone counts. If a
// server cannot be had the test is skipped with the reason; with CI=true or
// SLUICE_REQUIRE_LOCAL=1 it fails instead. The go command does not show why tests of
// a package skip: a line on its standard error names each server that a run lacks,
// and each that is being installed.
package testserver

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-go/sluice/internal/process"
	"github.com/sluice-go/sluice/internal/test/suite"
)

// The environment variables that name a running server.
const (
	EnvLocalStack = "SLUICE_LOCALSTACK_URL"
	EnvElasticMQ  = "SLUICE_ELASTICMQ_URL"
	EnvRedis      = "SLUICE_REDIS_URL"
	EnvPostgres   = "SLUICE_POSTGRES_URL"
	EnvMariaDB    = "SLUICE_MARIADB_URL"
	EnvDynamoDB   = "SLUICE_DYNAMODB_URL"
	EnvRabbitMQ   = "SLUICE_RABBITMQ_URL"
)

// A Server is a running server.
type Server struct {
	// URL is its address: http://127.0.0.1:PORT, redis://127.0.0.1:PORT,
	// postgres://USER@127.0.0.1:PORT/DATABASE?sslmode=disable.
	URL string

	name  string
	start func(context.Context) (stop func() error, err error) // nil: it is shared
	stop  func() error                                         // nil: it is stopped
}

// Addr returns the server's host and port.
func (s *Server) Addr() string {
	_, rest, _ := strings.Cut(s.URL, "://")
	rest, _, _ = strings.Cut(rest, "/")
	return rest[strings.LastIndexByte(rest, '@')+1:]
}

// Stop ends the server, as an outage does. LocalStack, ElasticMQ and DynamoDB
// then forget what they held; Redis and PostgreSQL keep it. A shared server
// cannot be stopped.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.own(t)
	if s.stop == nil {
		return
	}
	stop := s.stop
	s.stop = nil
	if err := stop(); err != nil {
		t.Fatalf("stopping %s: %v", s.name, err)
	}
}

// Start starts a stopped server again, on the same port, and waits for it.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.own(t)
	if s.stop != nil {
		return
	}
	stop, err := s.start(t.Context())
	if err != nil {
		t.Fatalf("starting %s again: %v", s.name, err)
	}
	s.stop = stop
}

func (s *Server) own(t testing.TB) {
	t.Helper()
	if s.start == nil {
		t.Fatalf("this %s is shared with other tests: get one with Own…", s.name)
	}
}

// A kind is a kind of server: how to make one ready to start.
type kind struct {
	name string
	env  string
	slow bool // to start: -short leaves its tests out
	// prepare installs what is needed, chooses a port and a directory and
	// returns the URL, how to start it, and how to remove its traces.
	prepare func(ctx context.Context) (*recipe, error)

	once   sync.Once
	shared *Server
	err    error
}

type recipe struct {
	url  string
	spec process.Spec
}

// start starts the server and waits until it is healthy.
func (r *recipe) start(ctx context.Context) (stop func() error, err error) {
	p, err := process.Start(ctx, r.spec)
	if err != nil {
		return nil, err
	}
	return p.Stop, nil
}

// remove removes the directory that the server keeps its data in.
func (r *recipe) remove() error { return os.RemoveAll(r.spec.Dir) }

// ready prepares a server, and says so if that takes long: it is being installed.
func (k *kind) ready(ctx context.Context) (*recipe, error) {
	if r, ok := currentRun(); ok {
		defer sayInstalling(k.name, 3*time.Second, 20*time.Second, r.say)()
	}
	return k.prepare(ctx)
}

// installTimeout bounds the first installation of a server.
const installTimeout = 8 * time.Minute

// launch prepares and starts a server, which ends with the process whose ID is
// owner, or with this one if owner is zero. If another process took the port in
// the meantime it tries again.
func (k *kind) launch(ctx context.Context, owner int) (*Server, *recipe, error) {
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	var err error
	for range 3 {
		var r *recipe
		if r, err = k.ready(ctx); err != nil {
			return nil, nil, err // not to be had: another attempt changes nothing
		}
		r.spec.Owner = owner
		var stop func() error
		if stop, err = r.start(ctx); err == nil {
			return &Server{URL: r.url, name: k.name, start: r.start, stop: stop}, r, nil
		}
		if rerr := r.remove(); rerr != nil || ctx.Err() != nil {
			return nil, nil, fmt.Errorf("%w (%v)", err, rerr) //nolint:errorlint // the first is the cause
		}
	}
	return nil, nil, err
}

// get returns the shared server, starting it at the first call.
func (k *kind) get(t testing.TB) *Server {
	t.Helper()
	k.leaveOut(t)
	k.once.Do(func() {
		if url := os.Getenv(k.env); url != "" {
			k.shared = &Server{URL: strings.TrimSuffix(url, "/"), name: k.name}
			return
		}
		// The server outlives the test, and so must the context.
		if r, ok := currentRun(); ok {
			k.shared, k.err = r.server(context.Background(), k)
			return
		}
		s, _, err := k.launch(context.Background(), 0)
		if k.err = err; err == nil {
			s.start = nil
			k.shared = s
		}
	})
	if k.err != nil {
		unavailable(t, k.name, k.err)
	}
	return k.shared
}

// leaveOut skips the test if it is not to wait for a server of this kind.
func (k *kind) leaveOut(t testing.TB) {
	t.Helper()
	if k.slow && os.Getenv(k.env) == "" && !Required() {
		suite.Slow(t)
	}
}

// own returns a server of the test's own.
func (k *kind) own(t testing.TB) *Server {
	t.Helper()
	k.leaveOut(t)
	s, r, err := k.launch(t.Context(), 0)
	if err != nil {
		unavailable(t, k.name, err)
	}
	t.Cleanup(func() {
		s.Stop(t)
		if err := r.remove(); err != nil {
			t.Errorf("removing what %s left: %v", k.name, err)
		}
	})
	return s
}

// Need skips the test, or fails it, if a server of the named kind (see [Kinds])
// cannot be had. It starts none: it is for tests that have another process start
// one.
func Need(t testing.TB, name string) {
	t.Helper()
	k := kinds()[name]
	if k == nil {
		t.Fatalf("there is no kind of server %q", name)
	}
	k.leaveOut(t)
	ctx, cancel := context.WithTimeout(t.Context(), installTimeout)
	defer cancel()
	r, err := k.ready(ctx)
	if err != nil {
		unavailable(t, k.name, err)
	}
	if err := r.remove(); err != nil {
		t.Errorf("removing what %s left: %v", k.name, err)
	}
}

// pathOnly reports whether programs are looked for on the PATH and nowhere else.
func pathOnly() bool { return os.Getenv("SLUICE_PATH_ONLY") == "1" }

// Required reports whether a server that cannot be had fails the test.
func Required() bool {
	return os.Getenv("CI") == "true" || os.Getenv("SLUICE_REQUIRE_LOCAL") == "1"
}

func unavailable(t testing.TB, name string, err error) {
	t.Helper()
	if Required() {
		t.Fatalf("%s cannot be had, and it is required here: %v", name, err)
	}
	sayMissing(name, err)
	forget()
	t.Skipf("%s cannot be had: %v", name, err)
}

// Name returns a name that no other test uses, valid for a queue, a table or a
// database.
func Name(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, r := range strings.ToLower(t.Name()) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	name := b.String()
	return name[:min(len(name), 32)] + "_" + strings.ToLower(rand.Text()[:10])
}
