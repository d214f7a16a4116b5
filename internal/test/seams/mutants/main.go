// Mutants puts faults back that were mended, one at a time, and checks that a test
// catches each: it replaces a piece of source by an overlay, runs the test that is
// to fail, and says which did not. The working tree is not touched.
//
//	go run ./internal/test/seams/mutants            # all, in a quarter of an hour
//	go run ./internal/test/seams/mutants 3.3 5.2    # those of these points
//	go run ./internal/test/seams/mutants -table     # the table of docs/seams.md
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

func main() {
	table := flag.Bool("table", false, "print the table in Markdown and run nothing")
	flag.Parse()
	if *table {
		fmt.Fprint(os.Stdout, markdown())
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	lived, err := run(ctx, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if lived > 0 {
		fmt.Fprintf(os.Stderr, "%d mutants live\n", lived)
		os.Exit(3)
	}
}

// run tries the mutants of the given points, all if there is none, and returns
// how many no test caught.
func run(ctx context.Context, points []string) (lived int, err error) {
	for i := range mutants {
		m := &mutants[i]
		if len(points) > 0 && !slices.Contains(points, m.point) {
			continue
		}
		begin := time.Now()
		verdict, err := m.try(ctx)
		if err != nil {
			return lived, fmt.Errorf("%s: %w", m.fault, err)
		}
		if verdict != caught {
			lived++
		}
		fmt.Fprintf(os.Stdout, "%-7s %-5s %s (%s, %v)\n", verdict, m.point, m.fault, m.catcher(), time.Since(begin).Round(time.Second))
	}
	return lived, nil
}

// The fates of a mutant.
const (
	caught = "caught"
	lives  = "LIVES"
	broken = "BROKEN" // it does not build
)

func markdown() string {
	var b strings.Builder
	b.WriteString("| point | fault reintroduced | where | caught by |\n|---|---|---|---|\n")
	for i := range mutants {
		m := &mutants[i]
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s |\n", m.point, m.fault, m.file, m.catcher())
	}
	return b.String()
}
