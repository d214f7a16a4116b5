// Command sluice sends, handles, inspects and repairs queues on AWS SQS, Google
// Cloud Pub/Sub and the embedded queue. Run it with --help.
package main

import (
	"os"

	"github.com/sluice-go/sluice/cmd/sluice/internal/cli"
	"github.com/sluice-go/sluice/drivers/all"
)

func main() {
	if code, ok := cli.Init(); ok {
		os.Exit(code)
	}
	os.Exit(cli.Main(cli.Program{Mux: all.Mux()}))
}
