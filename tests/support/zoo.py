"""Configurations in the layout of MONAI's model zoo, written for these tests: its networks, idioms and keys."""

from typing import Any

LOAD = [{"_target_": "LoadImaged", "keys": ["image", "label"]}, {"_target_": "EnsureChannelFirstd", "keys": "image"}]


def _window(low: float, high: float) -> dict[str, Any]:
    return {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": low, "a_max": high, "b_min": 0.0,
            "b_max": 1.0, "clip": True}  # fmt: skip


def _config(network: Any, *transforms: dict[str, Any], **more: Any) -> dict[str, Any]:
    device = "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')"
    steps = {"_target_": "Compose", "transforms": "$@train#deterministic_transforms + @train#random_transforms"}
    return {
        "imports": ["$import glob", "$import os", "$import ignite"],
        "bundle_root": ".",
        "ckpt_dir": "$@bundle_root + '/models'",
        "device": device,
        **more,
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "loss": {"_target_": "DiceCELoss", "to_onehot_y": True, "softmax": True},
        "optimizer": {"_target_": "torch.optim.Adam", "params": "$@network.parameters()", "lr": 1e-4},
        "train": {
            "deterministic_transforms": [*LOAD, *transforms],
            "random_transforms": [{"_target_": "RandFlipd", "keys": ["image", "label"], "prob": 0.5}],
            "preprocessing": steps,
        },
    }


GROUP = ["GROUP", {"num_groups": 8}]
SPACING = {"_target_": "Spacingd", "keys": ["image", "label"], "pixdim": [1.5, 1.5, 2.0]}
PATCH = {"_target_": "RandCropByPosNegLabeld", "keys": ["image", "label"], "spatial_size": [96, 96, 96]}
UNET = {"_target_": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2, "channels": [8, 16, 32],
        "strides": [2, 2], "num_res_units": 2}  # fmt: skip
SIZE = {"_target_": "Resized", "keys": "image", "spatial_size": [64, 64]}

ZOO: dict[str, tuple[dict[str, Any], str]] = {
    "DenseNet121, 2-D, BatchNorm": (
        _config({"_target_": "DenseNet121", "spatial_dims": 2, "in_channels": 3, "out_channels": 4}, SIZE),
        "BatchNorm"),
    "DenseNet121, 3-D, size by reference": (
        _config({"_target_": "DenseNet121", "spatial_dims": "@dims", "in_channels": 1, "out_channels": "@num_classes"},
                _window(-100, 200), {"_target_": "Resized", "keys": "image", "spatial_size": "@size"},
                dims=3, num_classes=2, size=[32, 32, 32]), "BatchNorm"),
    "EfficientNetBN, 2-D": (
        _config({"_target_": "EfficientNetBN", "model_name": "efficientnet-b0", "pretrained": True, "spatial_dims": 2,
                 "in_channels": 3, "num_classes": 5}, SIZE), "BatchNorm"),
    "SEResNet50, 3-D": (
        _config({"_target_": "SEResNet50", "spatial_dims": 3, "in_channels": 1, "num_classes": 2, "layers": [1] * 4},
                size=None), "BatchNorm"),
    "resnet18, 3-D": (
        _config({"_target_": "resnet18", "spatial_dims": 3, "n_input_channels": 1, "num_classes": 3}), "BatchNorm"),
    "ViT, 2-D, classification": (
        _config({"_target_": "ViT", "in_channels": 1, "img_size": "@roi", "patch_size": "$[16] * 2", "spatial_dims": 2,
                 "hidden_size": 48, "mlp_dim": 96, "num_layers": 2, "num_heads": 4, "classification": True,
                 "num_classes": 3}, roi=[64, 64]), ""),
    "UNet, 3-D, BatchNorm": (_config({**UNET, "norm": "batch"}, _window(-57, 164), SPACING, PATCH), "BatchNorm"),
    "UNet, 3-D, InstanceNorm": (_config({**UNET, "norm": "instance"}, _window(-57, 164), SPACING, PATCH), ""),
    "SegResNet, 3-D, GroupNorm": (
        _config({"_target_": "SegResNet", "spatial_dims": 3, "in_channels": 4, "out_channels": 3, "init_filters": 8,
                 "blocks_down": [1, 2, 2], "blocks_up": [1, 1], "dropout_prob": 0.2, "norm": GROUP},
                {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True}), ""),
    "SegResNet, windows by expression": (
        _config({"_target_": "SegResNet", "spatial_dims": 3, "in_channels": 1, "out_channels": "$len(@labels) + 1",
                 "init_filters": 8, "blocks_down": [1, 2], "blocks_up": [1]},
                _window(-250, 250), labels={"1": "spleen", "2": "liver"}), ""),
    "SwinUNETR, 3-D": (
        _config({"_target_": "SwinUNETR", "spatial_dims": 3, "in_channels": 1, "out_channels": 14, "feature_size": 12,
                 "use_checkpoint": False}, _window(-175, 250), SPACING, PATCH), ""),
    "UNETR, 3-D": (
        _config({"_target_": "UNETR", "in_channels": 1, "out_channels": 14, "img_size": "$(96, 96, 96)",
                 "feature_size": 8, "hidden_size": 48, "mlp_dim": 96, "num_heads": 4, "norm_name": "instance",
                 "proj_type": "conv"}, _window(-175, 250), PATCH), ""),
    "AttentionUnet, 3-D": (
        _config({"_target_": "AttentionUnet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2,
                 "channels": [8, 16], "strides": [2]}), "BatchNorm"),
    "DynUNet, deep supervision": (
        _config({"_target_": "DynUNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2,
                 "kernel_size": [3, 3, 3, 3], "strides": [1, 2, 2, 2], "upsample_kernel_size": [2, 2, 2],
                 "deep_supervision": True, "deep_supr_num": 2}), "and pixel"),
    "BasicUNet, 2-D": (
        _config({"_target_": "BasicUNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2,
                 "features": [8, 8, 16, 16, 32, 8]}), ""),
    "FlexibleUNet with pretrained encoder": (
        _config({"_target_": "FlexibleUNet", "in_channels": 3, "out_channels": 2, "backbone": "efficientnet-b0",
                 "pretrained": True, "spatial_dims": 2}), "BatchNorm"),
    "DiNTS with an architecture from a file": (
        _config({"_target_": "DiNTS", "dints_space": "@dints_space", "in_channels": 1, "num_classes": 3,
                 "use_downsample": True},
                arch_ckpt="$torch.load(@arch_ckpt_path)",
                dints_space={"_target_": "TopologyInstance", "channel_mul": 1, "num_blocks": 6, "num_depths": 4,
                             "arch_code": "$[@arch_ckpt['code_a'], @arch_ckpt['code_c']]"}), "torch.load"),
    "RetinaNet detector": (
        _config("$monai.apps.detection.networks.retinanet_detector.RetinaNetDetector(@net)", net=None), "expression"),
    "torchvision backbone": (
        _config({"_target_": "TorchVisionFCModel", "model_name": "inception_v3", "num_classes": 4, "pretrained": True}),
        "torchvision"),
    "own Python": (_config({"_target_": "scripts.model.BrainNet", "classes": 4}), "network scripts.model.BrainNet"),
}  # fmt: skip
"""Name -> configuration, and a word of why it does not import as it is; empty where it does."""
