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

// commands are all commands, in the order in which help lists them.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newSend(a),
		newRun(a),
		newIngest(a),
		newRelay(a),
		newOutbox(a),
		newSchedules(a),
		newPause(a),
		newResume(a),
		newLimit(a),
		newProbe(a),
		newDepth(a),
		newPeek(a),
		newLetters(a),
		newRedrive(a),
		newDiscard(a),
		newEdit(a),
		newExport(a),
		newImport(a),
		newArchive(a),
		newPurge(a),
		newPlan(a),
		newApply(a),
		newDoctor(a),
		newIAM(a),
		newScaler(a),
		newConsole(a),
		newDev(a),
		newInit(a),
		newConfig(a),
		newVersion(a),
	}
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Send, handle, inspect and repair queues on SQS, Pub/Sub and files",
		Long: `Sluice works on queues of AWS SQS and Google Cloud Pub/Sub and on the embedded queue,
in the same way. A QUEUE is a URL

  awssqs:///orders?region=us-east-1
  gcppubsub://projects/my-project/subscriptions/orders
  sqlite://jobs.db?queue=orders

or a name from the configuration: the files of --config or of $SLUICE_CONFIG, or else
` + config.DefaultFile + `.

Results go to stdout, logs to stderr. Exit status: 0 done, 1 failed, 2 wrong usage
or configuration, 3 findings or changes.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			top := cmd
			for top.HasParent() && top.Parent().HasParent() {
				top = top.Parent()
			}
			a.command = top.Name()
			if err := checkFlags(cmd); err != nil {
				return err
			}
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
	f.StringArrayVar(&a.files, "config", nil, "configuration `FILE`; repeatable, later ones win (default those of $SLUICE_CONFIG, separated as in PATH, or "+config.DefaultFile+" if it is there)")
	f.StringVarP(&a.format, "output", "o", formatText, "`FORMAT` of results: text or json")
	f.StringVar(&a.logLevel, "log-level", "info", "least `LEVEL` of logs: debug, info, warn or error")
	f.StringVar(&a.logFormat, "log-format", formatText, "`FORMAT` of logs and errors: text or json")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(commands(a)...)
	root.SetHelpCommand(newHelp(root))
	root.InitDefaultCompletionCmd()
	completeFlags(root, a.log)
	onceEach(root)
	for _, c := range root.Commands() {
		strictArgs(c)
	}
	return root
}

// noSuchCommand refuses a first argument that is not a command.
func noSuchCommand(cmd *cobra.Command, args []string) error {
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

// newHelp is cobra's help command, except that an unknown command is a fault.
func newHelp(root *cobra.Command) *cobra.Command {
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

// atMost accepts at most n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > n {
			return fmt.Errorf("unexpected argument %q", args[n])
		}
		return nil
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
func completeFlags(root *cobra.Command, log *slog.Logger) {
	for flag, values := range map[string][]string{
		"output":     {formatText, formatJSON},
		"log-format": {formatText, formatJSON},
		"log-level":  {"debug", "info", "warn", "error"},
	} {
		if err := root.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			log.Debug("no completion", "flag", flag, "error", err)
		}
	}
	if err := root.MarkPersistentFlagFilename("config", "yaml", "yml"); err != nil {
		log.Debug("no completion", "flag", "config", "error", err)
	}
}
