package main

import (
	"context"
	"fmt"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/handler/route"
)

// The names of the case and of the peers that targets name.
const (
	routeCase    = "route"
	sluiceRouter = sluice + ", router"
	runtimeAlone = "the runtime's part of a message"
)

// routeKinds is how many kinds the router knows.
const routeKinds = 20

// routeCases are what a router adds to a message.
func routeCases() []experiment {
	return []experiment{{
		id: routeCase, title: fmt.Sprintf("Routing a message by its kind, %d kinds, beside the runtime", routeKinds),
		peers: []peer{
			{sluiceRouter, routeMessages},
			{runtimeAlone, func(ctx context.Context, e *env) (sample, error) { return consumeTap(ctx, e.sizes.local, 32, 0) }},
		},
	}}
}

func routeMessages(ctx context.Context, e *env) (sample, error) {
	r, err := route.New(nil)
	if err != nil {
		return nil, err
	}
	ms := make([]*handler.Message, routeKinds)
	for i := range ms {
		kind := fmt.Sprint("kind-", i)
		if err := r.Add(kind, handler.HandlerFunc(func(context.Context, *handler.Message) error { return nil }), nil); err != nil {
			return nil, err
		}
		ms[i] = &handler.Message{Attributes: map[string]string{"type": kind}}
	}
	n := 10 * e.sizes.local
	m, err := begin(nil)
	if err != nil {
		return nil, err
	}
	for i := range n {
		if err := r.Handle(ctx, ms[i%len(ms)]); err != nil {
			return nil, err
		}
	}
	return m.end(n)
}
