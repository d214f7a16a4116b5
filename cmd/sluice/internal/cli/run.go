package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/consumer"
	"github.com/sluice-go/sluice/drivers/provision"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/exechandler"
	"github.com/sluice-go/sluice/internal/setting"
	"github.com/sluice-go/sluice/middleware"
	"github.com/sluice-go/sluice/middleware/backoff"
	controlopen "github.com/sluice-go/sluice/middleware/control/open"
	"github.com/sluice-go/sluice/middleware/expiry"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
	"github.com/sluice-go/sluice/service"
	"github.com/sluice-go/sluice/service/telemetry"
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
	expired     string
	control     string
}

// The values of --expired.
const (
	expiredDrop       = "drop"
	expiredDeadLetter = "dead-letter"
)

// A runCommand consumes a queue.
type runCommand struct {
	*app
	runFlags
}

func newRun(a *app) *cobra.Command {
	r := &runCommand{app: a}
	c := &cobra.Command{
		Use:   "run QUEUE... (--exec 'CMD ARGS...' | --http URL | --type KIND='CMD ARGS...')",
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
409, 425, 429 and 5xx retry, after Retry-After (a second at least, 12 hours at most)
if the answer has it; any other 4xx rejects with the beginning of the answer as the
reason. Redirects are not followed: they retry.

--type, once a kind, runs the command of the kind that a message's attribute "type"
names, as --exec does, also with --worker. A message of another kind is postponed, which
spends no attempt, so that a worker that knows it can take it; after --type-grace it is
rejected with the reason "no handler for kind ...".

A message past the time that "send --expires" has set is not handled: --expired drops it
or dead-letters it, and the summary counts it.

While the command cannot be started, or the endpoint cannot be reached, messages wait
without spending an attempt, and no more are received.

On a terminal the last line shows, once a second, the messages handled a second, those in
flight, the retries and the dead letters of this run. It is left out with --log-format json,
with TERM=dumb, and with -o json if the results go elsewhere.

With --http-secret-env requests are signed by Standard Webhooks, with the headers
webhook-id (the dedupe ID, or the message's), webhook-timestamp and
webhook-signature: "v1," and the base64 of the HMAC-SHA256 of "id.timestamp.body".
The variable has a secret, "whsec_" and the base64 of 24 to 64 bytes, or several that
are separated by spaces while one is being changed: each gives a signature.

A queue's section consumer of the configuration says how it is consumed, and the flags
--concurrency, --timeout, --heartbeat, --max-attempts, --backoff and --idempotency win over
it. They hold for each of several queues. Queues of one group share its handlers. With a section consumer the heartbeat is on unless
the section or --heartbeat=false says otherwise.

sluice pause, resume and limit hold for a running worker, within five seconds, if it and
they have the same control store: that of --control, of the configuration's service.control,
or the one beside the idempotency store.

A retry comes back after the delay of --backoff, or of the configuration's retry
section, or else by the queue's own policy. The failure of the last
attempt, by the queue's own limit or by --max-attempts, whichever is lower, rejects
the message with that failure as the reason. The last line of stdout counts
deliveries and verdicts. Messages that were postponed without having been handled are
counted as postponed only.`,
		Example: `  sluice run orders --exec './charge --live' --backoff 1s..5m --max-attempts 8
  sluice run awssqs:///orders --http http://127.0.0.1:8080/orders --concurrency 64
  WEBHOOK_SECRET=whsec_... sluice run orders --http http://127.0.0.1:8080/ --http-secret-env WEBHOOK_SECRET
  sluice run jobs --type resize='./resize' --type mail='./mail --smtp localhost'
  sluice run jobs --exec 'python3 worker.py' --worker --worker-messages 10000 --timeout 5m
  sluice run orders emails --exec './handle'
  sluice run jobs --exec 'jq .' --until-empty -o json`,
		Args:              a.queuesArgs,
		ValidArgsFunction: a.completeQueues,
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.run(cmd, args)
		},
	}
	r.add(c)
	fl := c.Flags()
	fl.IntVar(&r.concurrency, "concurrency", consumer.DefaultConcurrency, "handle up to `N` messages of each queue concurrently")
	fl.BoolVar(&r.untilEmpty, "until-empty", false, "end once the queue is drained")
	fl.IntVar(&r.maxAttempts, "max-attempts", 0, "reject a message that failed `N` times (default, and if lower: the queue's own limit)")
	fl.StringVar(&r.backoff, "backoff", "", "delay retries by `MIN..MAX`, growing with the attempt, at random")
	fl.StringVar(&r.idempotency, "idempotency", "", "handle no message twice, by marks in the store at `URL` (mem, redis, postgres, sqlite, dynamodb, firestore, mongo)")
	fl.StringVar(&r.expired, "expired", expiredDrop, "`drop` or dead-letter messages that have expired")
	fl.BoolVar(&r.heartbeat, "heartbeat", false, "keep a message's lease while it is handled")
	durationVar(fl, &r.timeout, "timeout", "end a handler that takes longer (default: never, for --http 1m)")
	addressVar(fl, &r.metrics, "metrics", "", "serve Prometheus metrics at `ADDR`, and /healthz, /livez and /readyz; a port alone is on 127.0.0.1 (default: the configuration's service.admin)")
	claimVar(fl, &r.claim, "get large bodies that are")
	controlVar(c, &r.control)
	return c
}

func (r *runCommand) run(cmd *cobra.Command, names []string) (err error) {
	ctx := cmd.Context()
	if err := r.check(); err != nil {
		return err
	}
	if r.expired != expiredDrop && r.expired != expiredDeadLetter {
		return usage("run: --expired %s: it is %s or %s", r.expired, expiredDrop, expiredDeadLetter)
	}
	retries, err := parseBackoff(r.backoff)
	if err != nil {
		return err
	}
	large, err := newClaims(ctx, "run", r.claim)
	if err != nil {
		return err
	}
	defer closing(large, &err)
	conf, err := r.config()
	if err != nil {
		return err
	}
	counts := &handler.Counter{}
	line := newLive(r.app)
	defer line.end()
	s, err := service.New(conf, &service.Options{
		Mux: r.mux, OpenStore: open.URL, OpenControl: controlopen.URL, Control: r.control, Telemetry: telemetry.Setup, Middleware: r.stack, Observers: []handler.Observer{counts},
		Logger: r.log, Name: "sluice", Version: readBuild().Version, Admin: cmp.Or(r.metrics, conf.Service().Admin, service.NoAdmin),
		UntilEmpty: r.untilEmpty, DrainTimeout: drainTime, StopTimeout: stopTime,
		Signals: make(chan os.Signal), // r.stop has them
	})
	if err != nil {
		return err
	}
	cut := []func(){s.Abort} // before commands are killed: what it finds running, it has cut short
	for _, name := range names {
		q, fault := r.find(name)
		if fault != nil {
			return fault
		}
		if c := q.Consumer; c != nil && c.Group != "" && cmd.Flags().Changed("concurrency") {
			return usage("run: --concurrency is for one queue, and %q shares the handlers of the group %q: set service.groups.%s.concurrency", q.Name, c.Group, c.Group)
		}
		if c := q.Consumer; c != nil && c.Idempotency != nil && c.Idempotency.Transactional {
			return usage("run: queues.%s.consumer.idempotency.transactional: the effect of a command or an endpoint is in no transaction of sluice, "+
				"so that it would not commit with the mark: set it to false for sluice run, as in an overlay (--config)", q.Name)
		}
		r.over(cmd, q, retries)
		w, fault := r.open(r.log, q.Consumer.Concurrency, q.Consumer.Timeout)
		if fault != nil {
			return fault
		}
		defer func() { err = errors.Join(err, w.close()) }()
		cut = append(cut, w.kill)
		s.HandleQueue(q, &work{Handler: large.wrap(w), gates: w.gates})
	}
	defer context.AfterFunc(r.stop.Now, func() {
		for _, f := range cut {
			f()
		}
	})()
	line.start((&pulse{counts: counts.Counts, health: s.Health}).text)
	err = s.Run(ctx)
	line.end()
	if len(s.Health().Queues) > 0 { // it has run
		err = errors.Join(err, r.printSummary(counts.Counts()))
	}
	return err
}

// stack keeps to what exit statuses and answers mean: what they do not reject is
// retried, whatever the error looks like. Without delays of the configuration or the
// flags, the queue spaces retries.
func (f *runFlags) stack(q *config.Queue) (*middleware.Config, error) {
	r := q.Retries()
	return &middleware.Config{Expiry: &expiry.Config{DeadLetter: f.expired == expiredDeadLetter}, Backoff: &backoff.Config{
		Native:     r.Min == 0 && r.Max == 0,
		Classifier: func(error) backoff.Class { return backoff.Transient },
	}}, nil
}

// over lays the flags over what the configuration says of a queue's consumer.
func (f *runFlags) over(cmd *cobra.Command, q *config.Queue, retries *provision.Retry) {
	given := cmd.Flags().Changed
	c := setting.Copy(q.Consumer)
	if given("concurrency") || c.Concurrency == 0 {
		c.Concurrency = f.concurrency
	}
	if given("timeout") {
		c.Timeout = f.timeout
	}
	if given("heartbeat") {
		c.Heartbeat = f.heartbeat
	}
	if given("max-attempts") || retries != nil {
		r := setting.Copy(c.Retry)
		if given("max-attempts") {
			r.MaxAttempts = f.maxAttempts
		}
		if retries != nil {
			r.Min, r.Max = retries.Min, retries.Max
		}
		c.Retry = &r
	}
	if given("idempotency") {
		i := setting.Copy(c.Idempotency)
		i.Store = f.idempotency
		c.Idempotency = &i
	}
	q.Consumer = &c
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

// printSummary prints what a run has counted. A rejected message is one whose letter is in
// the dead-letter queue; a dropped one was deleted by the verdict of its handler, or because
// it had expired, and is not acked.
func (r *runCommand) printSummary(n handler.Counts) error {
	if !r.asJSON() {
		rest := ""
		if n.Dropped > 0 {
			rest += fmt.Sprintf(", dropped %d", n.Dropped)
		}
		if n.Postponed > 0 {
			rest += fmt.Sprintf(", postponed %d", n.Postponed)
		}
		if n.Expired > 0 {
			rest += fmt.Sprintf(", expired %d", n.Expired)
		}
		return r.printf("received %d, acked %d, retried %d, rejected %d, duplicates %d%s\n",
			n.Received, n.Acked, n.Retried, n.DeadLettered, n.Duplicates, rest)
	}
	return r.printJSON(struct {
		Received   uint64 `json:"received"`
		Acked      uint64 `json:"acked"`
		Retried    uint64 `json:"retried"`
		Rejected   uint64 `json:"rejected"`
		Duplicates uint64 `json:"duplicates"`
		Dropped    uint64 `json:"dropped,omitempty"`
		Postponed  uint64 `json:"postponed,omitempty"`
		Expired    uint64 `json:"expired,omitempty"`
	}{n.Received, n.Acked, n.Retried, n.DeadLettered, n.Duplicates, n.Dropped, n.Postponed, n.Expired})
}
