package cli

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/internal/nearest"
)

// The formats of results.
const (
	formatText = "text"
	formatJSON = "json"
)

// commands are all commands, in the order in which help lists them.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.sendCommand(),
		a.runCommand(),
		a.depthCommand(),
		a.peekCommand(),
		a.redriveCommand(),
		a.purgeCommand(),
		a.planCommand(),
		a.applyCommand(),
		a.doctorCommand(),
		a.devCommand(),
		a.configCommand(),
		a.versionCommand(),
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Send, handle, inspect and repair queues on SQS, Pub/Sub and files",
		Long: `Sluice works on queues of AWS SQS and Google Cloud Pub/Sub and on the embedded queue,
in the same way. A QUEUE is a URL

  awssqs:///orders?region=us-east-1
  gcppubsub://projects/my-project/subscriptions/orders
  sqlite://jobs.db?queue=orders

or a name from the configuration: ` + config.DefaultFile + `, or the files of --config.

Results go to stdout, logs to stderr. Exit status: 0 done, 1 failed, 2 wrong usage
or configuration, 3 findings or changes.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          a.noSuchCommand,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return a.globals()
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(a.err)
			if err := cmd.Help(); err != nil {
				return err
			}
			return usage("no command")
		},
	}
	f := root.PersistentFlags()
	f.StringArrayVar(&a.files, "config", nil, "configuration `FILE`; repeatable, later ones win (default "+config.DefaultFile+" if it is there)")
	f.StringVarP(&a.format, "output", "o", formatText, "`FORMAT` of results: text or json")
	f.StringVar(&a.logLevel, "log-level", "info", "least `LEVEL` of logs: debug, info, warn or error")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(a.commands()...)
	root.SetHelpCommand(a.helpCommand(root))
	root.InitDefaultCompletionCmd()
	a.completeFlags(root)
	for _, c := range root.Commands() {
		strictArgs(c)
	}
	return root
}

// globals checks the global flags before any command runs.
func (a *app) globals() error {
	if a.format != formatText && a.format != formatJSON {
		return usage("--output %s: it is %s or %s", a.format, formatText, formatJSON)
	}
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[a.logLevel]
	if !ok {
		return usage("--log-level %s: it is debug, info, warn or error", a.logLevel)
	}
	a.level.Set(level)
	return nil
}

// noSuchCommand refuses a first argument that is not a command.
func (a *app) noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unknownCommand(cmd, args)
}

// unknownCommand says what may have been meant by the first argument.
func unknownCommand(cmd *cobra.Command, args []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	known := "known: " + strings.Join(names, ", ")
	if len(args) == 0 {
		return usage("%s: no command (%s)", cmd.Name(), known)
	}
	if n := nearest.Of(args[0], names); n != "" {
		return usage("unknown command %q: did you mean %q?", args[0], n)
	}
	return usage("unknown command %q (%s)", args[0], known)
}

// helpCommand is cobra's, but for an unknown command being a fault.
func (a *app) helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || c == nil || len(rest) > 0 {
				return unknownCommand(root, args)
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	}
}

// strictArgs makes a wrong number of arguments a fault of usage, here and in
// the commands that cobra brings with it.
func strictArgs(c *cobra.Command) {
	check := c.Args
	switch {
	case check != nil:
		c.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usage("%s: %w", cmd.Name(), err)
			}
			return nil
		}
	}
	if c.HasSubCommands() && !c.Runnable() {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			return unknownCommand(cmd, args)
		}
	}
	for _, sub := range c.Commands() {
		strictArgs(sub)
	}
}

// flagError says which flag was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	given, ok := strings.CutPrefix(text, "unknown flag: --")
	if !ok {
		return usage("%s: %s", cmd.Name(), text)
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	slices.Sort(known)
	if n := nearest.Of(given, known); n != "" {
		return usage("%s: unknown flag --%s: did you mean --%s?", cmd.Name(), given, n)
	}
	return usage("%s: unknown flag --%s (known: --%s)", cmd.Name(), given, strings.Join(known, ", --"))
}

// completeFlags completes the values of the global flags in a shell.
func (a *app) completeFlags(root *cobra.Command) {
	for flag, values := range map[string][]string{
		"output":    {formatText, formatJSON},
		"log-level": {"debug", "info", "warn", "error"},
	} {
		if err := root.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			a.log.Debug("no completion", "flag", flag, "error", err)
		}
	}
	if err := root.MarkPersistentFlagFilename("config", "yaml", "yml"); err != nil {
		a.log.Debug("no completion", "flag", "config", "error", err)
	}
}

// queueArgs accepts one queue or more, most at most (zero: any number), and says what a queue is if there
// are too few.
func (a *app) queueArgs(most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return fmt.Errorf("no queue given%s", a.whatQueue())
		case most > 0 && len(args) > most:
			return fmt.Errorf("unexpected argument %q after %q", args[most], args[most-1])
		}
		return nil
	}
}

// whatQueue says what can be given for a queue.
func (a *app) whatQueue() string {
	c, err := a.config()
	if err != nil || len(c.Names()) == 0 {
		return ": give a URL, such as sqlite://jobs.db?queue=orders or awssqs:///orders, or a name from a " + config.DefaultFile
	}
	return ": give a URL or a name from the configuration (known: " + strings.Join(c.Names(), ", ") + ")"
}

// completeQueues completes the names of the configuration.
func (a *app) completeQueues(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := a.config()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return c.Names(), cobra.ShellCompDirectiveNoFileComp
}
