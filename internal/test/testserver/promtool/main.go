// Command promtool builds the promtool that tests use, unless it is there, and prints its
// path.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/sluice-go/sluice/internal/test/testserver"
)

func main() {
	path, err := testserver.InstallPromtool(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, path)
}
