package sqstest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
)

const (
	// inProcessHost is the endpoint of a server without a socket. No such name
	// resolves.
	inProcessHost = "sqstest.invalid"

	contentType   = "application/x-amz-json-1.0"
	targetPrefix  = "AmazonSQS."
	maxBodySize   = 16 << 20 // a batch of 1 MiB in which every byte is escaped needs six
	keptBufferCap = 64 << 10
)

// An incoming request, without the HTTP around it.
type incoming struct {
	target string // X-Amz-Target
	origin string // what queue URLs in the answer begin with
	key    string // the access key
	trace  string // X-Amzn-Trace-Id
	body   []byte
}

// A reply, likewise.
type reply struct {
	status    int
	requestID string
	err       *apiError // nil: a success
	body      []byte
	noAnswer  bool // close the connection instead
	refused   bool // and say so if that can be said
}

func incomingOf(r *http.Request, body []byte) incoming {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	return incoming{
		target: r.Header.Get("X-Amz-Target"),
		origin: scheme + host,
		key:    accessKey(r),
		trace:  r.Header.Get("X-Amzn-Trace-Id"),
		body:   body,
	}
}

// accessKey reads the key out of a signature, in the header or in the query of a
// presigned request. The signature itself is not looked at.
func accessKey(r *http.Request) string {
	credential := r.Header.Get("Authorization")
	if _, rest, ok := strings.Cut(credential, "Credential="); ok {
		credential = rest
	} else if credential = ""; strings.Contains(r.URL.RawQuery, "X-Amz-Credential=") {
		credential = r.URL.Query().Get("X-Amz-Credential")
	}
	key, _, _ := strings.Cut(credential, "/")
	return key
}

// ServeHTTP implements http.Handler. A POST on any path is a request of SQS's
// JSON protocol, because SDKs post to the endpoint and some to the queue's URL.
// A GET answers 200, for health checks.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"service":"sqs","server":"sqstest"}`+"\n") // the client has gone, then
		return
	}
	if s.down.Load() {
		hangUp()
	}
	buffer, err := s.readBody(r.Body, r.ContentLength)
	defer s.keepBuffer(buffer)
	var out reply
	if err != nil {
		var tooLarge *http.MaxBytesError
		if !errors.As(err, &tooLarge) {
			hangUp()
		}
		out = s.failed(plain(CodeRequestEntityTooLarge))
	} else {
		out = s.do(r.Context(), incomingOf(r, buffer.Bytes()))
	}
	if out.noAnswer {
		hangUp()
	}
	out.header(w.Header())
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body) // the client has gone, then
}

// hangUp closes the connection without an answer. It does not return.
func hangUp() {
	panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's own way to do it, over HTTP/1 and 2
}

func (out *reply) header(h http.Header) {
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(out.body)))
	h.Set("X-Amzn-Requestid", out.requestID)
	if out.err != nil {
		h.Set("X-Amzn-Query-Error", out.err.queryError())
	}
}

// readBody reads into a buffer to be given back with keepBuffer: what is
// decoded is copied out of it.
func (s *Server) readBody(body io.ReadCloser, length int64) (*bytes.Buffer, error) {
	b, ok := s.buffers.Get().(*bytes.Buffer)
	if !ok {
		b = new(bytes.Buffer)
	}
	b.Reset()
	if length > maxBodySize {
		return b, &http.MaxBytesError{Limit: maxBodySize}
	}
	if length > 0 {
		b.Grow(int(length) + bytes.MinRead)
	}
	if body == nil {
		return b, nil
	}
	n, err := b.ReadFrom(io.LimitReader(body, maxBodySize+1))
	if err == nil && n > maxBodySize {
		err = &http.MaxBytesError{Limit: maxBodySize}
	}
	return b, err
}

func (s *Server) keepBuffer(b *bytes.Buffer) {
	if b.Cap() <= keptBufferCap {
		s.buffers.Put(b)
	}
}

// HTTPClient returns a client whose requests, to whatever address, go to s in
// this process on the caller's own goroutine: no socket, no goroutine, no
// timer. An SDK that uses it works in a testing/synctest bubble.
func (s *Server) HTTPClient() *http.Client {
	return &http.Client{Transport: inProcess{s}}
}

type inProcess struct{ server *Server }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }() // it has been read, or an error is on its way
	}
	s := t.server
	if s.down.Load() || s.base.Err() != nil {
		return nil, netError("dial", syscall.ECONNREFUSED)
	}
	buffer, err := s.readBody(r.Body, r.ContentLength)
	defer s.keepBuffer(buffer)
	var out reply
	if err != nil {
		var tooLarge *http.MaxBytesError
		if !errors.As(err, &tooLarge) {
			return nil, err
		}
		out = s.failed(plain(CodeRequestEntityTooLarge))
	} else {
		out = s.do(r.Context(), incomingOf(r, buffer.Bytes()))
	}
	switch {
	case r.Context().Err() != nil:
		return nil, context.Cause(r.Context())
	case out.refused:
		return nil, netError("dial", syscall.ECONNREFUSED)
	case out.noAnswer || s.down.Load():
		return nil, netError("read", syscall.ECONNRESET)
	}
	resp := &http.Response{
		Status:        strconv.Itoa(out.status) + " " + http.StatusText(out.status),
		StatusCode:    out.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        make(http.Header, 4),
		Body:          io.NopCloser(bytes.NewReader(out.body)),
		ContentLength: int64(len(out.body)),
		Request:       r,
	}
	out.header(resp.Header)
	return resp, nil
}

func netError(op string, errno syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Err: errno}
}
