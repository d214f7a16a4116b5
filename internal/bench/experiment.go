package main

import (
	"cmp"
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
	// rounds names the cases that are compared with each other: those with the same name,
	// one after the other, run in turn. Empty means that the case is not compared.
	rounds string
	// times multiplies the runs of a case whose runs are short, and differ much. Zero is one.
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

// runAll runs the experiments. Those that are compared with each other run in turn, and
// each peer once a round, so that what else the machine does meets all of them.
func runAll(ctx context.Context, e *env, xs []experiment, log io.Writer) ([]row, error) {
	var rows []row
	for len(xs) > 0 {
		n := 1
		for n < len(xs) && xs[0].rounds != "" && xs[n].rounds == xs[0].rounds {
			n++
		}
		began := time.Now()
		more, err := runRounds(ctx, e, xs[:n])
		rows = append(rows, more...)
		if err != nil {
			return rows, err
		}
		fmt.Fprintf(log, "%-34s %6.1f s\n", cmp.Or(xs[0].rounds, xs[0].id), time.Since(began).Seconds())
		xs = xs[n:]
	}
	return rows, nil
}

// runRounds runs experiments that have the same number of runs, each once a round.
func runRounds(ctx context.Context, e *env, xs []experiment) ([]row, error) {
	runs := e.sizes.runs
	if xs[0].runs > 0 {
		runs = min(runs, xs[0].runs)
	}
	if runs > 1 { // not a smoke run
		runs *= max(xs[0].times, 1)
	}
	samples := make([][][]sample, len(xs))
	for j, x := range xs {
		samples[j] = make([][]sample, len(x.peers))
		if x.open != nil {
			if err := x.open(ctx, e); err != nil {
				return nil, fmt.Errorf("%s: %w", x.id, err)
			}
		}
	}
	for r := range runs {
		for j, x := range xs {
			for i := range x.peers {
				i = (i + r) % len(x.peers) // no one is always the first
				s, err := x.peers[i].run(ctx, e)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", x.id, x.peers[i].name, err)
				}
				samples[j][i] = append(samples[j][i], s)
			}
		}
	}
	var rows []row
	for j, x := range xs {
		for i, p := range x.peers {
			rows = append(rows, row{Case: x.id, Title: x.title, Peer: p.name, Runs: runs, Metrics: summarize(samples[j][i])})
		}
	}
	return rows, nil
}
