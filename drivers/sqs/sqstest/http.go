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
	"sync"
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
	refused   bool // and report a refused connection if possible
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

// bodies lends the buffers that requests are read into. The zero bodies is ready to
// use.
type bodies struct{ pool sync.Pool } // of *bytes.Buffer

// read reads a body into a buffer, which the caller passes to keep when it has
// decoded it.
func (p *bodies) read(body io.ReadCloser, length int64) (*bytes.Buffer, error) {
	b, ok := p.pool.Get().(*bytes.Buffer)
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

func (p *bodies) keep(b *bytes.Buffer) {
	if b.Cap() <= keptBufferCap {
		p.pool.Put(b)
	}
}

type inProcess struct{ server *Server }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }() // it has been read, or an error is on its way
	}
	s := t.server
	if s.down.Load() || s.registry.base.Err() != nil {
		return nil, netError("dial", syscall.ECONNREFUSED)
	}
	buffer, err := s.bodies.read(r.Body, r.ContentLength)
	defer s.bodies.keep(buffer)
	var out reply
	if err != nil {
		var tooLarge *http.MaxBytesError
		if !errors.As(err, &tooLarge) {
			return nil, err
		}
		out = s.dispatcher.failed(plain(codeRequestEntityTooLarge))
	} else {
		out = s.dispatcher.do(r.Context(), incomingOf(r, buffer.Bytes()))
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
