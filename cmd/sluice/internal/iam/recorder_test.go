package iam_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// calls are the calls that a server has seen, each with what it was made on.
type calls struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (c *calls) add(call, on string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = make(map[string]bool)
	}
	c.seen[call+" on "+on] = true
}

// has reports whether a call was seen.
func (c *calls) has(call string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[call]
}

// sent reports whether a message was sent to the queue.
func (c *calls) sent() bool {
	return c.has("sqs:SendMessageBatch on queue") || c.has("Publisher.Publish on topic")
}

// take returns the calls since the last time, sorted.
func (c *calls) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []string{}
	for call := range c.seen {
		out = append(out, call)
	}
	c.seen = nil
	slices.Sort(out)
	return out
}

// onAWS records the calls to the AWS API that go through the URL that it returns, to the
// server at to.
func onAWS(t *testing.T, to string) (*calls, string) {
	t.Helper()
	target, err := url.Parse(to)
	require.NoError(t, err)
	c := &calls{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if _, operation, ok := strings.Cut(r.URL.Path, "/operation/"); ok {
			c.add("cloudwatch:"+operation, "account")
			// A CloudWatch that knows nothing: the server behind has none.
			w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
			w.Header().Set("Content-Type", "application/cbor")
			_, _ = w.Write([]byte{0xa0})
			return
		} else if _, operation, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
			c.add("sqs:"+operation, awsResource(body))
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return c, s.URL
}

// awsResource says which queue a request names.
func awsResource(body []byte) string {
	var r struct{ QueueUrl, QueueName, SourceArn, TaskHandle string }
	if json.Unmarshal(body, &r) != nil {
		return "?"
	}
	if name := r.QueueUrl + r.QueueName + r.SourceArn; strings.HasSuffix(name, "-dlq") || r.TaskHandle != "" {
		return "dead letters"
	}
	return "queue"
}

// raw carries messages as they are on the wire.
type raw struct{}

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil //nolint:forcetypeassert // of this proxy only
}

func (raw) Unmarshal(b mem.BufferSlice, v any) error {
	*v.(*[]byte) = b.Materialize() //nolint:forcetypeassert // as above
	return nil
}

func (raw) Name() string { return "proto" }

var _ encoding.CodecV2 = raw{}

// onGCP records the gRPC calls that go through the address that it returns, to the server
// at to.
func onGCP(t *testing.T, to string) (*calls, string) {
	t.Helper()
	c := &calls{}
	conn, err := grpc.NewClient(to, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})))
	require.NoError(t, err)
	s := grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.UnknownServiceHandler(func(_ any, down grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(down)
		var in, out []byte
		if err := down.RecvMsg(&in); err != nil {
			return err
		}
		parts := strings.Split(method, "/")
		service := parts[1][strings.LastIndexByte(parts[1], '.')+1:]
		c.add(service+"."+parts[2], gcpResource(parts[1], parts[2], in))
		if err := conn.Invoke(down.Context(), method, &in, &out); err != nil {
			return err
		}
		return down.SendMsg(&out)
	}))
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		require.NoError(t, <-done)
		require.NoError(t, conn.Close())
	})
	return c, l.Addr().String()
}

// gcpResource says which resource a request names.
func gcpResource(service, method string, in []byte) string {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service + "." + method))
	if err != nil {
		return "?"
	}
	m := dynamicpb.NewMessage(d.(protoreflect.MethodDescriptor).Input()) //nolint:forcetypeassert // it names a method
	if proto.Unmarshal(in, m) != nil {
		return "?"
	}
	name := ""
	for _, field := range []protoreflect.Name{"subscription", "topic", "resource", "name"} {
		f := m.Descriptor().Fields().ByName(field)
		if f == nil || f.IsList() || name != "" {
			continue
		}
		// A resource that is created has its topic as a field, too.
		if own := m.Descriptor().Fields().ByName("name"); own != nil && strings.HasPrefix(method, "Create") {
			f = own
		}
		switch f.Kind() {
		case protoreflect.StringKind:
			name = m.Get(f).String()
		case protoreflect.MessageKind:
			sub := m.Get(f).Message()
			name = sub.Get(sub.Descriptor().Fields().ByName("name")).String()
		default:
		}
	}
	dead := strings.HasSuffix(name, "-dlq")
	switch {
	case strings.Contains(name, "/subscriptions/") && dead:
		return "dead letters"
	case strings.Contains(name, "/subscriptions/"):
		return "queue"
	case strings.Contains(name, "/topics/") && dead:
		return "dead-letter topic"
	case strings.Contains(name, "/topics/"):
		return "topic"
	default:
		return "project"
	}
}
