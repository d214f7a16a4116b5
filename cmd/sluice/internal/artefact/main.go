// Command artefact makes the parts of a release that the Go tool does not:
//
//	artefact extras DIR
//	artefact image DIR --amd64 BINARY --arm64 BINARY --extras DIR
//	artefact formula CHECKSUMS
//
// Equal sources give equal bytes: times are those of SOURCE_DATE_EPOCH, in seconds
// since 1970, and 0 without it. The configuration of goreleaser and .ci/artefacts
// call it.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	if err := command().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "artefact:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{Use: "artefact", Short: "Make the parts of a release", SilenceErrors: true, SilenceUsage: true}
	root.AddCommand(
		&cobra.Command{
			Use: "extras DIR", Short: "Write completions, man pages and licenses into DIR", Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				return writeExtras(cmd.Context(), args[0])
			},
		},
		newImage(),
		newFormula(),
	)
	return root
}

// epoch is the time that artefacts carry.
func epoch() (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is not a number of seconds: %w", err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
