package lambdatest

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"
)

// FunctionName is the name of the function, as its environment has it.
const FunctionName = "function"

// DefaultTimeout is the timeout of an [Environment]'s function, which is what
// Lambda gives a new one.
const DefaultTimeout = 3 * time.Second

// ErrExited is the error of an invocation during which the function's process
// ended.
var ErrExited = errors.New("the function's process has ended")

// Config says what an [Environment] runs.
type Config struct {
	// Command makes the command of the function's process, each time one is
	// started. Required.
	Command func() *exec.Cmd
	// Timeout is the function's timeout. Zero means DefaultTimeout.
	Timeout time.Duration
}

// An Environment is an execution environment: it runs the function's process,
// one at a time, and starts it anew if it has ended. Its methods may be called
// concurrently; invocations wait for each other, as Lambda has it.
type Environment struct {
	config Config
	turn   sync.Mutex // held by the invocation

	mu      sync.Mutex
	process *process
	starts  int
	closed  bool
}

// A process has a runtime interface of its own: what is left of one that was
// killed could take the invocation of the next.
type process struct {
	runtime *Runtime

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error
}

// New returns an Environment. The process is started by the first invocation.
func New(c Config) (*Environment, error) {
	if c.Command == nil {
		return nil, errors.New("lambdatest: there is no command")
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	return &Environment{config: c}, nil
}

// Invoke invokes the function. The error is one of the function's own
// ([*FunctionError]), [ErrTimeout], after which the process is killed, [ErrExited],
// or ctx's.
func (e *Environment) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	e.turn.Lock()
	defer e.turn.Unlock()
	p, err := e.started()
	if err != nil {
		return nil, err
	}
	ictx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-p.done:
			cancel(errors.Join(ErrExited, p.err))
		case <-stop:
		}
	}()
	out, err := p.runtime.Invoke(ictx, payload, e.config.Timeout)
	if errors.Is(err, ErrTimeout) || err != nil && ctx.Err() != nil {
		// A function that is not done with its invocation takes no other.
		e.Kill()
		<-p.done
	}
	return out, err
}

// started returns the process, which it starts if necessary.
func (e *Environment) started() (*process, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errors.New("lambdatest: the environment is closed")
	}
	if e.process != nil {
		select {
		case <-e.process.done:
		default:
			return e.process, nil
		}
	}
	r, err := NewRuntime()
	if err != nil {
		return nil, err
	}
	cmd := e.config.Command()
	if cmd.Env == nil {
		cmd.Env = cmd.Environ()
	}
	e.starts++
	cmd.Env = append(cmd.Env,
		"AWS_LAMBDA_RUNTIME_API="+r.Addr(),
		"AWS_LAMBDA_FUNCTION_NAME="+FunctionName,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/"+FunctionName,
		fmt.Sprintf("AWS_LAMBDA_LOG_STREAM_NAME=stream-%d", e.starts),
	)
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	p := &process{runtime: r, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = errors.Join(cmd.Wait(), r.Close())
		close(p.done)
	}()
	e.process = p
	return p, nil
}

// Kill kills the function's process, if there is one, as kill -9 does. It reports
// whether there was one to kill.
func (e *Environment) Kill() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.process != nil && e.process.cmd.Process.Kill() == nil
}

// Starts is how many processes were started.
func (e *Environment) Starts() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.starts
}

// Close kills the process and waits for its end.
func (e *Environment) Close() {
	e.Kill()
	e.mu.Lock()
	e.closed = true
	p := e.process
	e.mu.Unlock()
	if p != nil {
		<-p.done
	}
}
