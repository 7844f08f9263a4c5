#include "cli/completion_scripts.h"

namespace imctl::host::cli {
namespace {

// The words are taken from the line, since bash splits them at = and : too; for the same reason it
// replaces only what stands behind the last of those.
constexpr const char* kBash = R"(# bash completion of imctl: source <(imctl completion bash)
_imctl() {
    local line=${COMP_LINE:0:COMP_POINT} words=() found=() files= cur before reply
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    words=("${words[@]//\\/}")
    cur=${words[-1]}
    before=
    [[ $cur == *[=:]* ]] && before=${cur%"${cur##*[=:]}"}
    while IFS= read -r reply; do
        if [[ $reply == :files ]]; then files=1; else found+=("${reply%%$'\t'*}"); fi
    done < <("$1" __complete -- "${words[@]:1}" 2>/dev/null)
    COMPREPLY=()
    for reply in "${found[@]}"; do
        printf -v reply %q "${reply#"$before"}"
        COMPREPLY+=("$reply")
    done
    if [[ $files ]]; then
        compopt -o filenames 2>/dev/null
        while IFS= read -r reply; do COMPREPLY+=("$reply"); done < <(compgen -f -- "${cur#"$before"}")
    fi
}
complete -F _imctl imctl
)";

constexpr const char* kZsh = R"(#compdef imctl
# zsh completion of imctl: source <(imctl completion zsh), or put this as _imctl into a folder of $fpath
_imctl() {
    local -a replies candidates
    local reply files
    replies=("${(@f)$("${(Q)words[1]}" __complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    for reply in $replies; do
        if [[ $reply == :files ]]; then
            files=1
        elif [[ -n $reply ]]; then
            candidates+=("${${reply%%$'\t'*}//:/\\:}:${reply#*$'\t'}")
        fi
    done
    (( $#candidates )) && _describe -V imctl candidates
    if [[ -n $files ]]; then
        [[ $PREFIX == -*=* ]] && compset -P '*='
        _files
    fi
}
if [[ $funcstack[1] == _imctl ]]; then _imctl "$@"; else compdef _imctl imctl; fi
)";

constexpr const char* kFish = R"(# fish completion of imctl: imctl completion fish | source
function __imctl_complete
    set -l words (commandline -opc)
    set -l program $words[1]
    set -e words[1]
    set -l cur (commandline -ct)
    for reply in ($program __complete -- $words "$cur" 2>/dev/null)
        if test "$reply" = :files
            set -l before (string match -r '^-[^=]*=' -- "$cur"; or echo)
            set -l typed (string replace -r '^-[^=]*=' '' -- "$cur")
            for file in (__fish_complete_path "$typed")
                echo "$before$file"
            end
        else
            echo $reply
        end
    end
end
complete -c imctl -f -a '(__imctl_complete)'
)";

}  // namespace

std::string completion_script(const std::string& shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  if (shell == "fish") return kFish;
  return {};
}

}  // namespace imctl::host::cli
