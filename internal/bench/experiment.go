package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// An experiment is one case, run by several peers in turn.
type experiment struct {
	id    string // sqs-consume/noop/32
	title string
	peers []peer
	// runs bounds the runs, if one is long. Zero means no bound.
	runs int
	// times multiplies the runs of a short case whose least value is judged. Zero is one.
	times int
	// open is called before the first run; nil is nothing to open.
	open func(ctx context.Context, e *env) error
}

// A peer is whoever is measured, by the name that the tables have.
type peer struct {
	name string
	run  func(ctx context.Context, e *env) (sample, error)
}

// sluice is the name of our own rows.
const sluice = "Sluice"

// A row is what a peer's runs measured in one case.
type row struct {
	Case    string          `json:"case"`
	Title   string          `json:"title"`
	Peer    string          `json:"peer"`
	Runs    int             `json:"runs"`
	Metrics map[string]stat `json:"metrics"`
}

// runAll runs the experiments, each peer once a round, so that what else the
// machine does meets all of them.
func runAll(ctx context.Context, e *env, xs []experiment, log io.Writer) ([]row, error) {
	var rows []row
	for _, x := range xs {
		began := time.Now()
		if x.open != nil {
			if err := x.open(ctx, e); err != nil {
				return rows, fmt.Errorf("%s: %w", x.id, err)
			}
		}
		runs := e.sizes.runs
		if x.runs > 0 {
			runs = min(runs, x.runs)
		}
		if runs > 1 { // not a smoke run
			runs *= max(x.times, 1)
		}
		samples := make([][]sample, len(x.peers))
		for r := range runs {
			for i := range x.peers {
				i = (i + r) % len(x.peers) // no one is always the first
				s, err := x.peers[i].run(ctx, e)
				if err != nil {
					return rows, fmt.Errorf("%s, %s: %w", x.id, x.peers[i].name, err)
				}
				samples[i] = append(samples[i], s)
			}
		}
		for i, p := range x.peers {
			rows = append(rows, row{Case: x.id, Title: x.title, Peer: p.name, Runs: runs, Metrics: summarize(samples[i])})
		}
		fmt.Fprintf(log, "%-34s %6.1f s\n", x.id, time.Since(began).Seconds())
	}
	return rows, nil
}
