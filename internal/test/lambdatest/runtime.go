package lambdatest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// FunctionARN is what the runtime interface names as the invoked function.
const FunctionARN = "arn:aws:lambda:us-east-1:000000000000:function:" + FunctionName

// ErrTimeout is the error of an invocation that the function did not answer in
// time. Lambda then ends its execution environment.
var ErrTimeout = errors.New("the function has timed out")

// A FunctionError is an error that the function itself has reported.
type FunctionError struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

// Error returns the function's message.
func (e *FunctionError) Error() string {
	return fmt.Sprintf("the function failed: %s: %s", e.Type, e.Message)
}

// A Runtime serves the Lambda runtime interface to one function's process.
//
// See https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type Runtime struct {
	server  *http.Server
	addr    string
	pending chan *invocation

	mu      sync.Mutex
	number  int
	current map[string]*invocation
}

type invocation struct {
	id       string
	payload  []byte
	timeout  time.Duration
	deadline time.Time   // set when the function has it
	answer   chan answer // has room for one
}

type answer struct {
	body []byte
	err  error
}

// NewRuntime returns a Runtime that listens on a free loopback port.
func NewRuntime() (*Runtime, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Runtime{addr: l.Addr().String(), pending: make(chan *invocation), current: make(map[string]*invocation)}
	mux := http.NewServeMux()
	const root = "/2018-06-01/runtime/"
	mux.HandleFunc("GET "+root+"invocation/next", r.next)
	mux.HandleFunc("POST "+root+"invocation/{id}/response", r.response)
	mux.HandleFunc("POST "+root+"invocation/{id}/error", r.failure)
	mux.HandleFunc("POST "+root+"init/error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go r.server.Serve(l) //nolint:errcheck // it ends with Close
	return r, nil
}

// Addr is the value of AWS_LAMBDA_RUNTIME_API for the function's process.
func (r *Runtime) Addr() string { return r.addr }

// Close stops listening. A function's process that waits for an invocation ends.
func (r *Runtime) Close() error { return r.server.Close() }

// Invoke has the function handle payload within timeout and returns its response.
// The error is [ErrTimeout], a [*FunctionError], or ctx's cause.
func (r *Runtime) Invoke(ctx context.Context, payload []byte, timeout time.Duration) ([]byte, error) {
	r.mu.Lock()
	r.number++
	i := &invocation{id: fmt.Sprintf("00000000-0000-4000-8000-%012d", r.number), payload: payload, timeout: timeout, answer: make(chan answer, 1)}
	r.mu.Unlock()
	select {
	case r.pending <- i:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.current, i.id)
	}()
	// The time counts from when the function has the invocation: starting the
	// process does not count.
	wait := time.NewTimer(timeout)
	defer wait.Stop()
	select {
	case a := <-i.answer:
		return a.body, a.err
	case <-wait.C:
		return nil, ErrTimeout
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// next gives the function its next invocation.
func (r *Runtime) next(w http.ResponseWriter, q *http.Request) {
	var i *invocation
	select {
	case i = <-r.pending:
	case <-q.Context().Done():
		return
	}
	i.deadline = time.Now().Add(i.timeout)
	r.mu.Lock()
	r.current[i.id] = i
	r.mu.Unlock()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", FunctionARN)
	h.Set("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000001;Parent=0000000000000001;Sampled=0")
	if _, err := w.Write(i.payload); err != nil {
		i.answer <- answer{err: fmt.Errorf("the function did not take its invocation: %w", err)}
	}
}

// response takes the function's response.
func (r *Runtime) response(w http.ResponseWriter, q *http.Request) {
	r.answered(w, q, func(body []byte) answer { return answer{body: body} })
}

// failure takes the function's error.
func (r *Runtime) failure(w http.ResponseWriter, q *http.Request) {
	r.answered(w, q, func(body []byte) answer {
		e := &FunctionError{}
		if err := json.Unmarshal(body, e); err != nil {
			e.Message = string(body)
		}
		return answer{err: e}
	})
}

func (r *Runtime) answered(w http.ResponseWriter, q *http.Request, read func([]byte) answer) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // its process was killed
	}
	r.mu.Lock()
	i := r.current[q.PathValue("id")]
	delete(r.current, q.PathValue("id"))
	r.mu.Unlock()
	if i == nil {
		http.Error(w, `{"errorType":"InvalidRequestID"}`, http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	i.answer <- read(body)
}
