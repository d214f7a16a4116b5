package pubsubtest

import (
	"context"
	"path"
	"sync"

	"google.golang.org/grpc"
)

// A Fault stands between the server and a call: method is the call's short name,
// such as "Pull", and next carries it out. It may delay the call, return an
// error instead, or carry it out and return an error anyway, as if the response
// were lost.
type Fault func(ctx context.Context, method string, req any, next func() (any, error)) (any, error)

type faults struct {
	mu    sync.Mutex
	fault Fault
	calls map[string]int
}

func (f *faults) count(method string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = make(map[string]int)
	}
	f.calls[method]++
	return f.fault
}

func (f *faults) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	method := path.Base(info.FullMethod)
	if fault := f.count(method); fault != nil {
		return fault(ctx, method, req, func() (any, error) { return handler(ctx, req) })
	}
	return handler(ctx, req)
}

func (f *faults) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	f.count(path.Base(info.FullMethod))
	return handler(srv, ss)
}
