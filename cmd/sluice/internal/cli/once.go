package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// onceValue refuses a second, other value of a flag that has one: the first would be lost
// without a word.
type onceValue struct {
	pflag.Value
	given bool
	last  string
}

// Set implements pflag.Value.
func (v *onceValue) Set(s string) error {
	if v.given && s != v.last {
		return fmt.Errorf("it is given twice, and was %q", v.last)
	}
	v.given, v.last = true, s
	return v.Value.Set(s)
}

// onceEach makes all flags of a command and its subcommands refuse a second value, except
// those that take several. The global flags are not among them: the last one wins, so that
// an alias of a shell can be overridden.
func onceEach(c *cobra.Command) {
	for _, sub := range c.Commands() {
		sub.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if _, several := f.Value.(pflag.SliceValue); !several {
				f.Value = &onceValue{Value: f.Value}
			}
		})
		onceEach(sub)
	}
}

// IsBoolFlag reports whether the flag may be given without a value. pflag asks for it.
func (v *onceValue) IsBoolFlag() bool { return v.Type() == "bool" }
