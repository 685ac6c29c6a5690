// SPDX-License-Identifier: Apache-2.0

// Runs CNI plugins as container runtimes do: through libcni, with its cache.
//
//	libcni add|check|del|validate|cached|versions <REQUEST.json
//
// Prints one JSON object: what libcni answered, or its error. Ends with 0 in both cases; with 1
// where it could not even ask.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// A plugin that hangs is killed, as a runtime's deadline would.
const deadline = 60 * time.Second

type request struct {
	List           json.RawMessage        `json:"list"`
	ContainerID    string                 `json:"containerID"`
	NetNS          string                 `json:"netns"`
	IfName         string                 `json:"ifname"`
	Args           [][2]string            `json:"args"`
	CapabilityArgs map[string]interface{} `json:"capabilityArgs"`
	Path           []string               `json:"path"`
	CacheDir       string                 `json:"cacheDir"`
}

type reply struct {
	Result       types.Result            `json:"result,omitempty"`
	As           map[string]types.Result `json:"as,omitempty"` // the result in other versions
	Capabilities []string                `json:"capabilities,omitempty"`
	Versions     []string                `json:"versions,omitempty"`
	Error        string                  `json:"error,omitempty"`  // as the runtime logs it
	Plugin       *types.Error            `json:"plugin,omitempty"` // what the plugin printed
}

// The cached result, and what libcni makes of it for plugins of other versions.
func cached(cni *libcni.CNIConfig, list *libcni.NetworkConfigList, rt *libcni.RuntimeConf,
	out *reply) error {
	var err error

	out.Result, err = cni.GetNetworkListCachedResult(list, rt)
	if err != nil || out.Result == nil {
		return err
	}
	out.As = map[string]types.Result{}
	for _, v := range version.All.SupportedVersions() {
		if old, _ := version.GreaterThanOrEqualTo(v, "0.3.0"); !old {
			continue // these had neither interfaces nor more than one address
		}
		if out.As[v], err = out.Result.GetAsVersion(v); err != nil {
			return fmt.Errorf("cannot convert to %s: %w", v, err)
		}
	}
	return nil
}

func perform(verb string, req *request, out *reply) error {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()

	list, err := libcni.ConfListFromBytes(req.List)
	if err != nil {
		return err
	}
	cni := libcni.NewCNIConfigWithCacheDir(req.Path, req.CacheDir, nil)
	rt := &libcni.RuntimeConf{
		ContainerID:    req.ContainerID,
		NetNS:          req.NetNS,
		IfName:         req.IfName,
		Args:           req.Args,
		CapabilityArgs: req.CapabilityArgs,
	}
	switch verb {
	case "add":
		out.Result, err = cni.AddNetworkList(ctx, list, rt)
	case "check":
		err = cni.CheckNetworkList(ctx, list, rt)
	case "del":
		err = cni.DelNetworkList(ctx, list, rt)
	case "validate":
		out.Capabilities, err = cni.ValidateNetworkList(ctx, list)
		sort.Strings(out.Capabilities)
	case "cached":
		err = cached(cni, list, rt, out)
	default:
		err = fmt.Errorf("what is %q?", verb)
	}
	return err
}

func run(verb string) error {
	var req request
	var out reply

	if verb == "versions" {
		out.Versions = version.All.SupportedVersions()
	} else if err := json.NewDecoder(os.Stdin).Decode(&req); err != nil {
		return err
	} else if err := perform(verb, &req, &out); err != nil {
		out.Error = err.Error()
		errors.As(err, &out.Plugin)
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: libcni VERB <REQUEST.json")
		os.Exit(1)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "libcni:", err)
		os.Exit(1)
	}
}
