package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/cmd/sluice/internal/telemetry"
	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/exechandler"
	"github.com/sluice-go/sluice/middleware/otel"
)

// The longest that a stop may take: together less than the 30 seconds that Kubernetes and
// ECS give, and the second part longer than a command's grace.
const (
	drainTime = 20 * time.Second
	stopTime  = exechandler.DefaultKillGrace + 3*time.Second
)

// runFlags say how a queue is consumed.
type runFlags struct {
	workFlags
	concurrency int
	untilEmpty  bool
	maxAttempts int
	backoff     string
	idempotency string
	heartbeat   bool
	timeout     time.Duration
	metrics     string
	claim       string
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run QUEUE (--exec 'CMD ARGS...' | --http URL)",
		Short: "Handle messages with a command or an HTTP endpoint",
		Long: `Receives messages and hands each to a command or an HTTP endpoint, in any
language, until SIGINT, SIGTERM, SIGQUIT or SIGHUP. Then it finishes the messages that
it has begun, in 20 seconds at most. A second signal ends it immediately; the status is
1 if that interrupts a handler.

--exec runs the command once a message, without a shell. It gets the body on
stdin and, in its environment, SLUICE_MESSAGE_ID, SLUICE_ATTEMPT (0 if the
provider does not count), SLUICE_QUEUE, SLUICE_GROUP, SLUICE_DEDUPE_ID, each
attribute as SLUICE_ATTR_NAME (in upper case, other characters than letters and
digits as _), all of them as a JSON object in SLUICE_ATTRIBUTES, and TRACEPARENT
and TRACESTATE. Attributes whose names read like ones that the framework sets
(sns_topic_arn) are left out. Its output goes to the log. Exit status 0 acks the
message, 65 rejects it to the dead-letter queue with the end of stderr as the reason,
and any other (75 by convention) retries it.

--exec with --worker keeps the command running, once for each of --concurrency, so
that a message does not pay for its start. It gets one message a line on stdin, as
a JSON object with id, queue, attempt, body (or body_base64 if the body is not
UTF-8) and, if present, attributes, group, dedupe_id, enqueued_at, lease_deadline,
traceparent and tracestate. It answers each with one line on
stdout before it gets the next:
  {"verdict": "ack", "id": "..."}
  {"verdict": "retry", "after": "30s", "error": "..."}
  {"verdict": "reject", "error": "..."}
  {"verdict": "drop", "error": "..."}
"after" is a duration or seconds; it, "error" and "id" can be left out, but a
worker that sends the id back cannot ack another message by mistake. stderr goes
to the log. A worker that ends or writes anything else to stdout is replaced, and
its message retried; --timeout ends it, with SIGTERM and five seconds later
SIGKILL. When sluice stops, the worker's stdin is closed and it has five seconds to
end.

--http POSTs the body. The message is in the headers Sluice-Message-Id,
Sluice-Attempt, Sluice-Queue, Sluice-Group, Sluice-Dedupe-Id and, for each
attribute, Sluice-Attr-NAME (other characters than letters and digits as -; in
values, what a header cannot carry and % as %XX); the attribute Content-Type also
as itself. traceparent and tracestate are those of the span in which the message
is handled, or without telemetry those of the message. A 2xx answer acks; 408,
409, 425, 429 and 5xx retry, after Retry-After (12 hours at most) if the answer
has it; any other 4xx rejects with the beginning of the answer as the reason.
Redirects are not followed: they retry.

While the command cannot be started, or the endpoint cannot be reached, messages wait
without spending an attempt, and no more are received.

With --http-secret-env requests are signed by Standard Webhooks, with the headers
webhook-id (the dedupe ID, or the message's), webhook-timestamp and
webhook-signature: "v1," and the base64 of the HMAC-SHA256 of "id.timestamp.body".
The variable has a secret, "whsec_" and the base64 of 24 to 64 bytes, or several that
are separated by spaces while one is being changed: each gives a signature.

A retry comes back after the delay of --backoff, or of the configuration's retry
section, or else by the queue's own policy. The failure of the last
attempt, by the queue's own limit or by --max-attempts, whichever is lower, rejects
the message with that failure as the reason. The last line of stdout counts
deliveries and verdicts. Messages that were postponed without having been handled are
counted as postponed only.`,
		Example: `  sluice run orders --exec './charge --live' --backoff 1s..5m --max-attempts 8
  sluice run awssqs:///orders --http http://127.0.0.1:8080/orders --concurrency 64
  WEBHOOK_SECRET=whsec_... sluice run orders --http http://127.0.0.1:8080/ --http-secret-env WEBHOOK_SECRET
  sluice run jobs --exec 'python3 worker.py' --worker --worker-messages 10000 --timeout 5m
  sluice run jobs --exec 'jq .' --until-empty -o json`,
		Args:              a.queueArgs(1),
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.run(cmd, args[0], &f)
		},
	}
	f.add(c)
	fl := c.Flags()
	fl.IntVar(&f.concurrency, "concurrency", consumer.DefaultConcurrency, "handle up to `N` messages concurrently")
	fl.BoolVar(&f.untilEmpty, "until-empty", false, "end once the queue is drained")
	fl.IntVar(&f.maxAttempts, "max-attempts", 0, "reject a message that failed `N` times (default, and if lower: the queue's own limit)")
	fl.StringVar(&f.backoff, "backoff", "", "delay retries by `MIN..MAX`, growing with the attempt, at random")
	fl.StringVar(&f.idempotency, "idempotency", "", "handle no message twice, by marks in the store at `URL` (mem, redis, postgres, sqlite, dynamodb, firestore, mongo)")
	fl.BoolVar(&f.heartbeat, "heartbeat", false, "keep a message's lease while it is handled")
	durationVar(fl, &f.timeout, "timeout", "end a handler that takes longer (default: never, for --http 1m)")
	fl.StringVar(&f.metrics, "metrics", "", "serve Prometheus metrics at `ADDR`, and /healthz, /livez and /readyz; a port alone is on 127.0.0.1")
	claimVar(fl, &f.claim, "get large bodies that are")
	return c
}

func (a *app) run(cmd *cobra.Command, queue string, f *runFlags) (err error) {
	ctx := cmd.Context()
	if err := f.check(cmd); err != nil {
		return err
	}
	w, err := a.work(&f.workFlags, f.concurrency, f.timeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	unfollow := w.follow(a.stop.now)
	defer unfollow()
	retries, err := parseBackoff(f.backoff)
	if err != nil {
		return err
	}
	large, err := newClaims(ctx, "run", f.claim)
	if err != nil {
		return err
	}
	defer closing(large, &err)
	q, source, err := a.source(ctx, queue)
	if err != nil {
		return err
	}
	caps := source.Capabilities()
	if err := attemptsCount(f, caps); err != nil {
		return errors.Join(err, source.Close())
	}
	if f.maxAttempts > caps.MaxAttempts && caps.MaxAttempts > 0 {
		a.log.Warn("the queue's own limit of attempts is lower than --max-attempts, and is what counts", "queue", label(q, caps),
			"limit", caps.MaxAttempts, "max_attempts", f.maxAttempts)
	}
	if retries == nil {
		retries = q.Spec.Retry
	}

	counts := &handler.Counter{}
	health, live, ready := lateHandler{}, lateHandler{early: http.StatusOK}, lateHandler{}
	tel, err := telemetry.Setup(ctx, telemetry.Options{
		MetricsAddr: f.metrics, Health: &health, Live: &live, Ready: &ready, ServiceName: "sluice", Version: readBuild().Version,
	})
	if err != nil {
		return errors.Join(err, source.Close())
	}
	defer a.shutdown(tel)

	s := &stack{app: a, flags: f, retries: retries, counts: counts}
	defer s.close(&err)
	if err := s.telemetry(tel, caps, source); err != nil {
		return errors.Join(err, source.Close())
	}
	h, err := s.wrap(ctx, large.wrap(w))
	if err != nil {
		return errors.Join(err, source.Close())
	}
	c, err := consumer.New(source, h, &consumer.Config{
		Concurrency: f.concurrency, UntilEmpty: f.untilEmpty, DrainTimeout: drainTime, StopTimeout: stopTime,
		Gates: slices.Concat(w.gates, s.gates), Observers: s.observers, Logger: a.log,
	})
	if err != nil {
		return errors.Join(err, source.Close())
	}
	health.set(consumer.HealthHandler(c.Health))
	live.set(consumer.Liveness(c.Health))
	ready.set(consumer.Readiness(c.Health))
	defer context.AfterFunc(ctx, func() {
		a.log.Info("stopping: what was begun is finished; a second signal ends it at once", "at_most", drainTime)
	})()
	var cut atomic.Bool // the second signal came while handlers ran
	unfollow()
	defer context.AfterFunc(a.stop.now, func() {
		cut.Store(c.Stats().Running > 0)
		c.Abort()
		w.kill()
	})()
	if tel.Addr != "" {
		a.log.Info("serving metrics", "url", "http://"+tel.Addr+"/metrics")
	}
	a.log.Info("handling messages", "queue", label(q, caps), "concurrency", f.concurrency)
	err = c.Run(ctx)
	if err == nil && cut.Load() {
		// Their messages were given back in good time, and yet they are not handled.
		err = consumer.ErrDrainTimeout
	}
	return errors.Join(err, a.printSummary(counts.Counts()))
}

// check finds what is wrong with the flags by themselves.
func (f *runFlags) check(cmd *cobra.Command) error {
	if err := f.workFlags.check(cmd); err != nil {
		return err
	}
	switch {
	case f.concurrency < 1:
		return usage("run: --concurrency %d is below 1", f.concurrency)
	case cmd.Flags().Changed("max-attempts") && f.maxAttempts < 1:
		return usage("run: --max-attempts %d is below 1", f.maxAttempts)
	case cmd.Flags().Changed("timeout") && f.timeout <= 0:
		return usage("run: --timeout is not above zero")
	}
	return nil
}

// parseBackoff reads MIN..MAX. It returns nil for "".
func parseBackoff(s string) (*provision.Retry, error) {
	if s == "" {
		return nil, nil
	}
	lo, hi, ok := strings.Cut(s, "..")
	if !ok {
		return nil, usage("run: --backoff %q is not MIN..MAX, such as 1s..5m", s)
	}
	least, err := config.ParseDuration(lo)
	if err != nil {
		return nil, usage("run: --backoff: %w", err)
	}
	most, err := config.ParseDuration(hi)
	if err != nil {
		return nil, usage("run: --backoff: %w", err)
	}
	if least <= 0 || most < least {
		return nil, usage("run: --backoff %s: the delays must be above zero, and the second not below the first", s)
	}
	return &provision.Retry{Min: least, Max: most}, nil
}

// attemptsCount refuses a limit of attempts on a queue that does not count them.
func attemptsCount(f *runFlags, c drivers.Capabilities) error {
	if f.maxAttempts > 0 && !c.AttemptKnown {
		return usage("run: --max-attempts: the queue %q does not count attempts (on Pub/Sub, give the subscription a dead-letter policy)", c.Queue)
	}
	return nil
}

// printSummary prints what a run has counted. A dropped message is acked.
func (a *app) printSummary(n handler.Counts) error {
	acked := n.Acked + n.Dropped
	if !a.asJSON() {
		postponed := ""
		if n.Postponed > 0 {
			postponed = fmt.Sprintf(", postponed %d", n.Postponed)
		}
		return a.printf("received %d, acked %d, retried %d, rejected %d, duplicates %d%s\n",
			n.Received, acked, n.Retried, n.DeadLettered, n.Duplicates, postponed)
	}
	return a.printJSON(struct {
		Received   uint64 `json:"received"`
		Acked      uint64 `json:"acked"`
		Retried    uint64 `json:"retried"`
		Rejected   uint64 `json:"rejected"`
		Duplicates uint64 `json:"duplicates"`
		Postponed  uint64 `json:"postponed,omitempty"`
	}{n.Received, acked, n.Retried, n.DeadLettered, n.Duplicates, n.Postponed})
}

// A lateHandler is an HTTP handler that becomes known after the server has
// started.
type lateHandler struct {
	known atomic.Pointer[http.Handler]
	early int // the status until then; zero means 503
}

func (l *lateHandler) set(h http.Handler) { l.known.Store(&h) }

// ServeHTTP implements http.Handler.
func (l *lateHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := l.known.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	http.Error(w, "starting", cmp.Or(l.early, http.StatusServiceUnavailable))
}

// depthOf asks a queue for its depth as telemetry wants it.
func depthOf(i drivers.Inspector) func(context.Context) (otel.Depth, error) {
	return func(ctx context.Context) (otel.Depth, error) {
		d, err := i.Depth(ctx)
		return otel.Depth{Visible: d.Visible, InFlight: d.InFlight, Delayed: d.Delayed, DeadLetters: d.DeadLetters, OldestAge: d.OldestAge}, err
	}
}
