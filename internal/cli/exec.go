package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/handler"
)

const (
	// exitReject is the exit status that rejects a message: EX_DATAERR of
	// sysexits. By convention EX_TEMPFAIL, 75, asks for a retry, as any other
	// status does.
	exitReject = 65
	// killGrace is how long a command has between SIGTERM and SIGKILL, and how
	// long a process that it left behind may hold its output open.
	killGrace = 5 * time.Second
)

// An execHandler handles a message by running a command.
type execHandler struct {
	path  string
	words []string
	env   []string
	log   *slog.Logger
	// now ends when running commands are to be killed at once.
	now context.Context //nolint:containedctx // of the program, not of a call
}

func newExecHandler(line string, log *slog.Logger, now context.Context) (*execHandler, error) { //nolint:revive // now is a signal here, not the call's context
	path, words, err := parseCommand(line)
	if err != nil {
		return nil, err
	}
	h := &execHandler{path: path, words: words, log: log, now: now}
	for _, v := range os.Environ() {
		// Those of a message that this program is itself run for.
		if !strings.HasPrefix(v, "SLUICE_ATTR") && !strings.HasPrefix(v, "SLUICE_MESSAGE_ID=") && !strings.HasPrefix(v, "SLUICE_ATTEMPT=") &&
			!strings.HasPrefix(v, "SLUICE_GROUP=") && !strings.HasPrefix(v, "SLUICE_DEDUPE_ID=") && !strings.HasPrefix(v, "SLUICE_QUEUE=") {
			h.env = append(h.env, v)
		}
	}
	return h, nil
}

// Handle implements handler.Handler.
func (h *execHandler) Handle(ctx context.Context, m *handler.Message) error {
	c := exec.CommandContext(ctx, h.path)
	c.Args = h.words
	c.Env = h.environment(m)
	c.Stdin = bytes.NewReader(m.Body)
	log := h.log.With("message", m.ID, "attempt", m.Attempt)
	stdout := &logWriter{log: log.With("stream", "stdout")}
	stderr := &logWriter{log: log.With("stream", "stderr"), tail: &tail{}}
	c.Stdout, c.Stderr = stdout, stderr
	c.WaitDelay = killGrace
	err := h.run(ctx, c)
	stdout.flush()
	stderr.flush()
	return execVerdict(ctx, c, err, stderr.tail.String())
}

// execVerdict reads the verdict out of a command's end.
func execVerdict(ctx context.Context, c *exec.Cmd, err error, said string) error {
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
	return explain(fmt.Errorf("%s: %w", c.Args[0], err), said)
}

// explain adds what a command said last to its error.
func explain(err error, said string) error {
	if said == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, said)
}

// environment is that of a command for a message.
func (h *execHandler) environment(m *handler.Message) []string {
	env := h.env[:len(h.env):len(h.env)]
	add := func(name, value string) {
		v, ok := variable(name, value)
		if !ok {
			h.log.Warn("left out of the command's environment: too long", "message", m.ID, "variable", name)
			return
		}
		env = append(env, v)
	}
	add("SLUICE_MESSAGE_ID", m.ID)
	add("SLUICE_ATTEMPT", strconv.Itoa(m.Attempt))
	add("SLUICE_QUEUE", m.Origin().Queue)
	if m.Group != "" {
		add("SLUICE_GROUP", m.Group)
	}
	if m.DedupeID != "" {
		add("SLUICE_DEDUPE_ID", m.DedupeID)
	}
	names := make([]string, 0, len(m.Attributes))
	for name := range m.Attributes {
		names = append(names, name)
	}
	// Sorted, so that of two names that become the same variable it is always
	// the same one that wins.
	sort.Strings(names)
	for _, name := range names {
		add("SLUICE_ATTR_"+variableSuffix(name), m.Attributes[name])
	}
	if len(names) > 0 {
		if all, err := json.Marshal(m.Attributes); err == nil { // strings always marshal
			add("SLUICE_ATTRIBUTES", string(all))
		}
	}
	return env
}
