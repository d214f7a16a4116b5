package cli

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/service"
)

// The annotations of flags that take more than checkFlags lets through.
const (
	mayBeZero     = "sluice_may_be_zero"     // an empty or zero value means something
	mayBeNegative = "sluice_may_be_negative" // a negative value does, and zero does not
	mayBeBlank    = "sluice_may_be_blank"    // a value of white space does
)

// allow annotates a flag.
func allow(fl *pflag.FlagSet, annotation, name string) {
	annotate(fl, name, annotation)
}

// anAddress is the annotation of flags that take an address to listen on.
const anAddress = "sluice_address"

// addressVar adds a flag that takes an address to listen on.
func addressVar(fl *pflag.FlagSet, addr *string, name, value, about string) {
	fl.StringVar(addr, name, value, about)
	annotate(fl, name, anAddress)
}

func annotate(fl *pflag.FlagSet, name, annotation string) {
	f := fl.Lookup(name)
	if f.Annotations == nil {
		f.Annotations = make(map[string][]string)
	}
	f.Annotations[annotation] = nil
}

// addressProblem returns why an address can't be listened on, or "".
func addressProblem(addr string) string {
	_, port, err := net.SplitHostPort(service.Loopback(addr))
	if err == nil {
		_, err = net.DefaultResolver.LookupPort(context.Background(), "tcp", port) // it reads a file at most
	}
	if err != nil {
		return strconv.Quote(addr) + " is neither a port nor HOST:PORT"
	}
	return ""
}

// checkFlags refuses an empty, zero or negative value of any flag that was given,
// unless the flag has a meaning for it. Otherwise it would count as a flag that was
// not given, as in --max "$N" with a variable that is not set.
func checkFlags(cmd *cobra.Command) error {
	var fault error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if problem := flagProblem(f); problem != "" && fault == nil {
			fault = usage("%s: --%s %s", cmd.Name(), f.Name, problem)
		}
	})
	return fault
}

// flagProblem returns why the value of a flag is refused, or "".
func flagProblem(f *pflag.Flag) string {
	_, zero := f.Annotations[mayBeZero]
	_, negative := f.Annotations[mayBeNegative]
	value := f.Value
	if once, ok := value.(*onceValue); ok {
		value = once.Value
	}
	switch v := value.(type) {
	case durationValue:
		if *v.d <= 0 {
			return v.text() + " is not above zero"
		}
		return ""
	case pflag.SliceValue:
		if all := v.GetSlice(); len(all) == 0 || slices.Contains(all, "") {
			return "is empty"
		}
		if slices.ContainsFunc(v.GetSlice(), blank) {
			return "is blank"
		}
		return ""
	}
	_, mayBlank := f.Annotations[mayBeBlank]
	_, address := f.Annotations[anAddress]
	switch f.Value.Type() {
	case "string":
		switch s := f.Value.String(); {
		case s == "" && !zero:
			return "is empty"
		case blank(s) && !mayBlank:
			return "is blank"
		case address && s != "":
			return addressProblem(s)
		}
	case "int":
		n, err := strconv.Atoi(f.Value.String())
		switch {
		case err != nil:
			return err.Error()
		case n == 0 && negative:
			return "0 is neither a number of times nor, as a negative one, no limit"
		case n < 0 && zero:
			return f.Value.String() + " is below zero"
		case n < 1 && !zero && !negative:
			return f.Value.String() + " is below 1"
		}
	}
	return ""
}

// blank reports whether a text is white space and nothing else.
func blank(s string) bool { return s != "" && strings.TrimSpace(s) == "" }

// durationValue is a flag that takes days and weeks as the configuration does.
type durationValue struct{ d *time.Duration }

func (v durationValue) String() string {
	if v.d == nil || *v.d == 0 {
		return "" // so that help shows no default
	}
	return v.text()
}

func (v durationValue) text() string { return config.FormatDuration(*v.d) }

func (v durationValue) Set(s string) error {
	d, err := config.ParseDuration(s)
	if err != nil {
		return err
	}
	*v.d = d
	return nil
}

func (durationValue) Type() string { return "DURATION" }

// durationVar adds a flag that takes days and weeks as the configuration does.
func durationVar(f *pflag.FlagSet, d *time.Duration, name, about string) {
	f.Var(durationValue{d}, name, about)
}

// parseAttributes reads NAME=VALUE. A value may have any characters, and be
// empty.
func parseAttributes(pairs []string) (map[string]string, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	attributes := make(map[string]string, len(pairs))
	for _, p := range pairs {
		name, value, ok := strings.Cut(p, "=")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, usage("--attr %q is not NAME=VALUE", p)
		}
		if _, twice := attributes[name]; twice {
			return nil, usage("--attr %s is given twice", name)
		}
		attributes[name] = value
	}
	return attributes, nil
}
