package service

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/internal/invoke"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/control"
	"github.com/sluice-go/sluice/middleware/idempotency/opened"
	"github.com/sluice-go/sluice/outbox"
)

const (
	// DefaultAdmin is the address of the admin listener, unless the configuration
	// (service.admin) or [Options].Admin says otherwise.
	DefaultAdmin = "127.0.0.1:9464"
	// NoAdmin in place of an address leaves the admin listener out.
	NoAdmin = config.Off
	// NoControl in place of a URL has the queues obey no control store.
	NoControl = config.Off
)

// closeTime is how long stores, telemetry and the admin listener may take to close after
// a drain. With the defaults of DrainTimeout and StopTimeout a stop takes less than
// the 30 seconds that Kubernetes and ECS give.
const closeTime = 1500 * time.Millisecond

// Options are what a program gives beside its configuration. Mux is required.
type Options struct {
	// Mux opens the queues. A program links the providers that it has openers of.
	Mux *drivers.Mux

	// OpenStore opens the idempotency stores that the configuration names, usually by
	// open.URL of package middleware/idempotency/open. A URL that it can't open is an
	// error at the start. Nil refuses a configuration that names one.
	OpenStore func(ctx context.Context, url string) (*opened.Store, error)

	// OpenControl opens the control store that the configuration names (service.control),
	// usually by open.URL of package middleware/control/open. Nil refuses a configuration
	// that names one. The stores beside idempotency stores need no OpenControl.
	OpenControl func(ctx context.Context, url string) (*control.Opened, error)

	// Control is the URL of the control store in which operators pause and limit queues,
	// [NoControl] for none. It wins over the configuration's. Empty means the
	// configuration's service.control, or else the store beside each queue's idempotency
	// store, if that has one.
	Control string

	// OpenTable opens the table that the configuration's delay_store names, usually by URL
	// of package outbox/opentable. It is for a configuration that [New] loads itself: with
	// one that is given it must be nil, because config.Options.OpenTable is its opener.
	OpenTable func(ctx context.Context, url string) (*outbox.Table, io.Closer, error)

	// Telemetry sets telemetry up, usually by Setup of package service/telemetry. Nil
	// means OpenTelemetry's global providers, and nothing at /metrics.
	Telemetry func(ctx context.Context, c TelemetryConfig) (*Telemetry, error)

	// Middleware, if not nil, returns the parts of a queue's stack that the program has
	// beside the configuration's, such as breakers with a check of their own; nil adds
	// none. A part that both have is an error at the start. It must leave Logger and
	// Telemetry unset.
	Middleware func(q *config.Queue) (*middleware.Config, error)

	// Observers receive the events of all queues.
	Observers []handler.Observer

	// Logger gets all that is logged. Nil means slog.Default().
	Logger *slog.Logger

	// Name and Version are the service's, in logs and telemetry. An empty Name means
	// the program's.
	Name, Version string

	// Admin is the address of the admin listener, [NoAdmin] for none. A port alone is
	// on the loopback interface. It wins over the configuration's. Empty means the
	// configuration's service.admin, or else [DefaultAdmin].
	Admin string

	// RelayOnly has Run handle no queue, and run the relay of the configuration's
	// delay_store and the schedules alone, as sluice relay does. It wins over service.relay
	// in the configuration.
	RelayOnly bool

	// UntilEmpty has Run return when all queues are drained: see consumer.Config.
	UntilEmpty bool

	// DrainTimeout is how long handlers may go on after a stop. Zero means 22 seconds;
	// negative cancels them immediately.
	DrainTimeout time.Duration

	// StopTimeout is how long handlers that were canceled, and verdicts that are still
	// to be sent, may take. Zero means 5 seconds.
	StopTimeout time.Duration

	// Signals has the requests to end: the first stops the service, the second ends its
	// drain, the third ends the process. Nil means SIGINT, SIGTERM, SIGQUIT and SIGHUP
	// of the process. A program that listens to signals itself gives a channel that
	// nobody sends to, and calls [Service.Abort].
	Signals <-chan os.Signal

	// Exit ends the process if Run does not return soon after the second signal. Nil
	// means os.Exit.
	Exit func(code int)
}

// complete returns a copy of o with its defaults, and its faults.
func (o *Options) complete() (Options, error) {
	d := setting.Copy(o)
	d.Logger = invoke.Logger(d.Logger)
	d.Name = cmp.Or(d.Name, filepath.Base(os.Args[0]))
	d.DrainTimeout = cmp.Or(d.DrainTimeout, 22*time.Second)
	if d.Exit == nil {
		d.Exit = os.Exit
	}
	if d.Telemetry == nil {
		d.Telemetry = global
	}
	return d, errors.Join(
		setting.Refuse(d.Mux == nil, "Mux is nil: it opens the queues"),
		setting.Default("StopTimeout", &d.StopTimeout, 5*time.Second),
		setting.NotNil("Observers", d.Observers),
	)
}
