package exechandler

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"syscall"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/internal/reach"
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
	// now ends when running commands are to be killed at once.
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
// message. The program is looked up now: the error wraps exec.ErrNotFound where
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
// receiving while the command can't be started, as when its file is missing. It lets
// a message through now and then to try.
//
// [consumer.Config]: https://pkg.go.dev/github.com/sluice-go/sluice/consumer#Config
func (h *Handler) Gate() handler.Gate { return h.reach }

// Kill kills the commands that are running, with SIGKILL and without waiting for
// them, and from then on those that are started. It may be called at any time,
// also twice.
func (h *Handler) Kill() { h.kill() }

// Handle implements [handler.Handler]. When ctx ends, the command's group gets
// SIGTERM and then SIGKILL; Handle returns once it has ended. What ended with
// status 0 or 65 all the same keeps its verdict.
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
	err = h.run(ctx, c)
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
