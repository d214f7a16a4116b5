package exechandler

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/internal/reach"
	"github.com/sluice-go/sluice/handler/internal/tracecontext"
	"github.com/sluice-go/sluice/internal/attribute"
	"github.com/sluice-go/sluice/internal/seldom"
)

// exitReject is the exit status that rejects a message: EX_DATAERR of sysexits.
// By convention EX_TEMPFAIL, 75, asks for a retry, as any other status does.
const exitReject = 65

// A Handler runs a command once a message. Make one with [New]. It may be used
// concurrently.
type Handler struct {
	path  string
	words []string
	// limit is the kernel's, of arguments and environment together.
	limit  int
	config Config
	// now ends when running commands must be killed immediately.
	now   context.Context
	kill  context.CancelFunc
	reach *reach.Gate
	// dropped and long are that attributes were not passed on, for their names and
	// for their length.
	dropped attribute.Drops
	long    seldom.Event
}

var _ handler.Handler = (*Handler)(nil)

// New returns a handler that runs command, a program and its arguments, once a
// message. The program is looked up now: the error wraps exec.ErrNotFound if
// there is none. A nil config has the defaults.
func New(command []string, config *Config) (*Handler, error) {
	c, faults := config.complete()
	path, err := lookUp(command)
	if err := errors.Join(faults, err); err != nil {
		return nil, fmt.Errorf("exechandler: %w", err)
	}
	h := &Handler{path: path, words: slices.Clone(command), limit: argumentLimit(), config: c}
	h.reach = reach.New("command "+command[0], h.config.Logger)
	h.now, h.kill = context.WithCancel(context.Background())
	return h, nil
}

// Gate returns a gate for the consumer ([consumer.Config].Gates) that holds back
// receiving while the command can't be started, as when its file is missing. It
// occasionally lets a message through as a probe.
//
// [consumer.Config]: https://pkg.go.dev/github.com/sluice-go/sluice/consumer#Config
func (h *Handler) Gate() handler.Gate { return h.reach }

// Kill kills the commands that are running, with SIGKILL and without waiting for
// them, and from then on those that are started. It may be called at any time,
// also twice.
func (h *Handler) Kill() { h.kill() }

// Handle implements [handler.Handler]. When ctx ends, the command's group gets
// SIGTERM and then SIGKILL; Handle returns once it has ended. A command that
// ended with status 0 or 65 nevertheless keeps its verdict.
func (h *Handler) Handle(ctx context.Context, m *handler.Message) error {
	if wait, ok := h.reach.Enter(); !ok {
		return handler.Postpone(wait, h.reach.Err())
	}
	defer h.reach.Left()
	env, bare := h.environment(ctx, m)
	c, err, said, unread := h.command(ctx, m, env)
	if c.ProcessState == nil && errors.Is(err, syscall.E2BIG) && len(bare) < len(env) {
		// The limit is lower than it seemed.
		c, err, said, unread = h.command(ctx, m, bare)
	}
	if c.ProcessState == nil && ctx.Err() == nil && h.now.Err() == nil && !errors.Is(err, syscall.EINVAL) {
		return handler.Postpone(h.reach.Failed(err), fmt.Errorf("run %s: %w", c.Args[0], err))
	}
	if unread && ctx.Err() == nil && h.now.Err() == nil {
		err = explain(fmt.Errorf("run %s: %w", c.Args[0], err), said)
		return handler.Postpone(h.reach.Failed(err), err)
	}
	h.reach.Reached()
	return h.verdict(ctx, c, err, said)
}

// command runs the command, and returns it with its error and what it said last. unread
// is that a shell or env did not find the program, and nothing has read the message.
func (h *Handler) command(ctx context.Context, m *handler.Message, env []string) (c *exec.Cmd, err error, said string, unread bool) { //nolint:staticcheck // the error is not this function's
	c = exec.CommandContext(ctx, h.path)
	c.Args = h.words
	c.Dir = h.config.Dir
	c.Env = env
	in, err := newStdin(m.Body)
	if err != nil {
		return c, err, "", false
	}
	defer in.close()
	c.Stdin = in.r
	log := h.config.Logger.With("message", m.ID, "attempt", m.Attempt)
	stdout := &logWriter{log: log.With("stream", "stdout")}
	stderr := &logWriter{log: log.With("stream", "stderr"), tail: &tail{}}
	c.Stdout, c.Stderr = stdout, stderr
	c.WaitDelay = h.config.KillGrace
	err = run(ctx, h.now, c, h.config.Logger)
	stdout.flush()
	stderr.flush()
	if p := c.ProcessState; p != nil && (p.ExitCode() == exitNotFound || p.ExitCode() == exitNotExecutable) {
		unread = len(m.Body) > 0 && in.left() == int64(len(m.Body))
	}
	return c, err, stderr.tail.String(), unread
}

// verdict reads the verdict out of a command's end.
func (h *Handler) verdict(ctx context.Context, c *exec.Cmd, err error, said string) error {
	if c.ProcessState == nil {
		return fmt.Errorf("run %s: %w", c.Args[0], err)
	}
	if code := c.ProcessState.ExitCode(); code == 0 {
		// It may have left a process behind that keeps its output open; its own
		// work is done.
		return nil
	} else if code == exitReject {
		return handler.Reject(explain(fmt.Errorf("%s: exit status %d", c.Args[0], code), said))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s was ended: %w", c.Args[0], context.Cause(ctx))
	}
	if h.now.Err() != nil { // Kill may come before the consumer cancels ctx
		return fmt.Errorf("%s was ended: %w: %w", c.Args[0], handler.ErrStopped, err)
	}
	return explain(fmt.Errorf("%s: %w", c.Args[0], err), said)
}

// explain adds what a command said last to its error.
func explain(err error, said string) error {
	if said == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, said)
}

// environment is that of a command for a message, within the kernel's limit. bare is
// the same without the attributes.
func (h *Handler) environment(ctx context.Context, m *handler.Message) (env, bare []string) {
	bare = h.config.Env[:len(h.config.Env):len(h.config.Env)]
	var long []string
	add := func(name, value string) {
		v, ok := variable(name, value)
		if !ok {
			long = append(long, name)
			return
		}
		bare = append(bare, v)
	}
	addSet := func(name, value string) {
		if value != "" {
			add(name, value)
		}
	}
	add("SLUICE_MESSAGE_ID", m.ID)
	add("SLUICE_ATTEMPT", strconv.Itoa(m.Attempt))
	add("SLUICE_QUEUE", m.Origin().Queue)
	addSet("SLUICE_GROUP", m.Group)
	addSet("SLUICE_DEDUPE_ID", m.DedupeID)
	parent, state := tracecontext.Of(ctx, m)
	addSet("TRACEPARENT", parent)
	addSet("TRACESTATE", state)
	if len(m.Attributes) == 0 && long == nil {
		return bare, bare
	}
	names, shadows := attribute.Folded(m.Attributes, variableSuffix)
	h.dropped.Log(h.config.Logger, attribute.NotPassedOn, m.ID, shadows)
	env, missing := h.attributes(m, bare, names)
	if len(missing) > 0 {
		bare = append(bare, leftOut+"="+list(slices.Sorted(maps.Keys(m.Attributes))))
		env = append(env, leftOut+"="+list(missing))
	}
	h.truncated(m, append(long, missing...))
	return env, bare
}

// attributes adds the variables of m's attributes to bare, the short ones first, so that
// a long one takes the room of no other. It returns the names of those without a
// variable, sorted.
func (h *Handler) attributes(m *handler.Message, bare []string, names map[string]string) (env, missing []string) {
	room := h.limit - margin - size(h.words) - size(bare)
	env = bare[:len(bare):len(bare)]
	add := func(v string) bool {
		if room < cost(v) {
			return false
		}
		room -= cost(v)
		env = append(env, v)
		return true
	}
	suffixes := slices.SortedFunc(maps.Keys(names), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(m.Attributes[names[a]]), len(m.Attributes[names[b]])), cmp.Compare(a, b))
	})
	for _, suffix := range suffixes {
		if v, ok := variable("SLUICE_ATTR_"+suffix, m.Attributes[names[suffix]]); !ok || !add(v) {
			missing = append(missing, names[suffix])
		}
	}
	if passed, _ := attribute.Passed(m.Attributes); len(passed) > 0 {
		all, err := json.Marshal(passed) // strings always marshal
		if v, ok := variable("SLUICE_ATTRIBUTES", string(all)); err == nil && (!ok || !add(v)) {
			missing = append(missing, "*") // the object of all
		}
	}
	slices.Sort(missing)
	return env, missing
}

// truncated logs, once a minute, what has no room in a command's environment.
func (h *Handler) truncated(m *handler.Message, names []string) {
	if len(names) == 0 {
		return
	}
	if missed, ok := h.long.Allow(time.Now(), time.Minute); ok {
		h.config.Logger.Warn("attributes omitted from the command's environment: they are too long",
			"message", m.ID, "names", names, "messages_before", missed)
	}
}
