# SPDX-License-Identifier: Apache-2.0
# What to do where a configuration names a model or documents that are not here. Read by submit.sh and
# campaign.sh, after they have set LONGROPE and config, and say what to say.
# shellcheck shell=bash disable=SC2154

# After --check has refused config, whose message the user has seen.
tell_of_missing_inputs() {
    case $("$LONGROPE" search --check "$config" 2>&1 >/dev/null) in
        *"expected weights"* | *"expected a Hugging Face model folder"* | *"no such file, expected a documents file"*)
            say "a search needs the model's weights and the documents; another folder for script and job:
LONGROPE_MODEL_PATH=FOLDER, another file: LONGROPE_DOCUMENTS_PATH=FILE, in the environment.
What it takes on GPUs is told from the model's config.json alone: $LONGROPE estimate --device NAME $config" ;;
    esac
}
