// Command sluice sends, handles, inspects and repairs queues on AWS SQS, Google
// Cloud Pub/Sub and the embedded queue. Run it with --help.
package main

import (
	"os"
	_ "time/tzdata" // schedules have time zones, and containers often have none

	"github.com/sluice-go/sluice/cmd/sluice/internal/cli"
	"github.com/sluice-go/sluice/drivers/all"
)

// expressions compiles the expressions of --where. Nil means that this program was built
// without them: see docs/adr/0015. Tests set it.
var expressions = compiler()

func main() {
	if code, ok := cli.Init(); ok {
		os.Exit(code)
	}
	os.Exit(cli.Main(cli.Program{Mux: all.Mux(), Compile: expressions}))
}
